// The page about how well a domain answers.

import * as api from "./api.js";
import { fill, h } from "./dom.js";
import { number, t, when } from "./i18n.js";

export async function qualityPage({ domain, main }) {
  const found = await api.quality(domain.name);
  fill(
    main,
    h("div", { class: "page-head" }, h("h1", { tabindex: -1 }, t("quality"))),
    section(t("evaluation"), evaluation(found.evaluation)),
    section(t("feedback"), feedback(found.feedback)),
    h("p", { class: "quiet" }, t("usage", number(found.questions), number(found.conversations), number(found.refusals))),
    h(
      "div",
      { class: "columns" },
      section(t("mostAsked"), questions(found.asked, t("nothingAsked"))),
      section(t("mostRefused"), questions(found.refused, t("nothingRefused"))),
    ),
  );
  return { title: t("quality") };
}

const section = (title, ...content) => h("section", {}, h("h2", {}, title), content);

function table(name, heads, rows) {
  return h(
    "div",
    { class: "table", tabindex: 0, role: "region", "aria-label": name },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows),
    ),
  );
}

function evaluation(report) {
  if (report === null) return h("p", { class: "quiet" }, t("evaluationNone"));
  const heads = ["system", "accuracy", "tokenF1", "unsupportedShare", "refusedRightly", "refusedWrongly"].map((name) => t(name));
  const rows = report.rows.map((row) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, row.system),
      [row.accuracy, row.token_f1].map((value) => h("td", {}, interval(value))),
      [row.unsupported, row.refusal_accuracy, row.wrong_refusals].map((value) => h("td", {}, share(value))),
    ),
  );
  return [h("p", { class: "quiet" }, t("evaluationOn", report.split, when(report.at))), table(t("evaluation"), heads, rows)];
}

const share = (value) => (typeof value === "number" ? number(value, 2) : "–");

const interval = (value) =>
  value ? [share(value.mean), h("span", { class: "quiet" }, ` [${share(value.low)}, ${share(value.high)}]`)] : "–";

function feedback(days) {
  if (days.length === 0) return h("p", { class: "quiet" }, t("feedbackNone"));
  const heads = [t("day"), t("helpful"), t("notHelpful"), t("corrections"), t("share")];
  const rows = [...days].reverse().map((day) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, day.day),
      [day.up, day.down, day.corrections].map((value) => h("td", {}, number(value))),
      h("td", { class: "bar-cell" }, bar(day.up / (day.up + day.down))),
    ),
  );
  return table(t("feedback"), heads, rows);
}

function bar(value) {
  const part = h("span", { class: "bar-part" });
  part.style.inlineSize = `${Math.round(value * 100)}%`;
  return [h("span", { class: "bar", "aria-hidden": "true" }, part), `${Math.round(value * 100)}%`];
}

function questions(rows, none) {
  if (rows.length === 0) return h("p", { class: "quiet" }, none);
  return h(
    "table",
    { class: "counts" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("question")), h("th", { scope: "col" }, t("count")))),
    h(
      "tbody",
      {},
      rows.map((row) => h("tr", {}, h("td", { dir: "auto" }, row.question), h("td", {}, number(row.count)))),
    ),
  );
}
