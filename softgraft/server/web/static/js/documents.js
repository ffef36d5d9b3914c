// The documents of a domain, and one of them with the quoted words marked.

import * as api from "./api.js";
import { fill, h, oneAtATime } from "./dom.js";
import { number, t } from "./i18n.js";

const STEP = 10000;
const reason = (error) => error.message || t("offline");

export async function documentsPage({ domain, main }) {
  const list = h("ul", { class: "documents" });
  const more = h("button", { type: "button", class: "button", onclick: oneAtATime(main, reason, load) }, t("more"));
  let shown = 0;
  await load();
  fill(
    main,
    h("div", { class: "page-head" }, h("h1", { tabindex: -1 }, t("documents"))),
    h("p", { class: "intro" }, shown > 0 ? t("documentsIntro") : t("documentsEmpty")),
    list,
    more,
  );
  return { title: t("documents") };

  async function load() {
    const { documents, total } = await api.documents(domain.name, shown);
    for (const one of documents) {
      list.append(
        h(
          "li",
          {},
          h("a", { href: one.href.slice(1).split("?")[0], dir: "auto" }, one.title || one.id),
          h("p", { class: "quiet" }, h("span", { dir: "auto" }, one.id), ` · ${t("characters", number(one.length))}`),
        ),
      );
    }
    shown += documents.length;
    more.hidden = shown >= total;
  }
}

export async function documentPage({ domain, main }, id, parameters) {
  const span = { start: position(parameters.get("start")), end: position(parameters.get("end")) };
  let found = await api.documentText(domain.name, id, span);
  const quoted = found.end > found.start;
  const text = h("div", { class: "document", tabindex: 0, role: "region", "aria-label": t("document") });
  // Two at once would both start from what is shown now.
  const show = oneAtATime(main, reason, widen);
  const before = h("button", { type: "button", class: "link", onclick: () => show(STEP, 0) }, t("moreBefore"));
  const after = h("button", { type: "button", class: "link", onclick: () => show(0, STEP) }, t("moreAfter"));
  const all = number(found.length);
  const place = quoted ? t("highlighted", number(found.start + 1), number(found.end), all) : t("documentLength", all);
  fill(
    main,
    h("button", { type: "button", class: "link back", onclick: () => history.back() }, `‹ ${t("back")}`),
    h("div", { class: "page-head" }, h("h1", { tabindex: -1, dir: "auto" }, found.title || found.id)),
    h("p", { class: "quiet" }, [found.page && t("page", found.page), place].filter(Boolean).join(" · ")),
    before,
    text,
    after,
  );
  draw();
  const mark = text.querySelector("mark");
  mark?.scrollIntoView({ block: "center" });
  return { title: found.title || found.id, focus: mark };

  function draw() {
    const words = quoted && h("mark", { tabindex: -1, "aria-label": t("quotedWords") }, found.quote);
    fill(text, found.before, words, found.after);
    before.hidden = found.first === 0;
    after.hidden = found.last === found.length;
  }

  async function widen(earlier, later) {
    const around = { before: found.start - found.first + earlier, after: found.last - found.end + later };
    found = await api.documentText(domain.name, id, { ...span, ...around });
    draw();
  }
}

const position = (text) => (/^\d{1,12}$/.test(text ?? "") ? Number(text) : 0);
