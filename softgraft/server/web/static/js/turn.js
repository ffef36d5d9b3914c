// One question and its answer.

import * as api from "./api.js";
import { announce, fill, h, icon } from "./dom.js";
import { t } from "./i18n.js";
import { citedPieces } from "./text.js";

/** A stored turn: question, answer with links to its sources, marks, sources and rating. */
export function storedTurn(conversation, turn) {
  const { pieces, sources } = citedPieces(turn.answer, turn.citations);
  const id = `turn-${turn.number}`;
  return h(
    "article",
    { class: "turn", "aria-labelledby": id },
    question(turn.question, id),
    searched(turn.question, turn.query),
    mark(turn, sources),
    h(
      "div",
      { class: "answer", dir: "auto" },
      pieces.map((piece) => [piece.text, piece.numbers.map((number) => reference(number, sources[number - 1]))]),
    ),
    sources.length > 0 && sourceList(sources),
    (turn.notices ?? []).map((notice) => h("p", { class: "note", dir: "auto" }, notice)),
    rating(conversation, turn),
  );
}

/** The turn that is being answered; `live` is the text node that grows. */
export function pendingTurn(conversation, retry) {
  const { pending } = conversation;
  const live = document.createTextNode(pending.text);
  const state = h("p", { class: "state" });
  const element = h(
    "article",
    { class: "turn", "aria-labelledby": "turn-pending", "aria-busy": String(conversation.running) },
    question(pending.question, "turn-pending"),
    searched(pending.question, pending.query),
    h("div", { class: "answer", dir: "auto" }, live),
    state,
  );
  if (pending.state === "running") fill(state, pending.query ? t("writing") : t("searching"));
  if (pending.state === "stopped") fill(state, t("stopped"), " ", retryButton(retry));
  if (pending.state === "failed") {
    state.className = "alert";
    state.setAttribute("role", "alert");
    const reason = pending.message || t("offline");
    fill(state, icon("warning"), h("span", { dir: "auto" }, `${reason} ${t("notSaved")} `), retryButton(retry));
  }
  return { element, live };
}

const retryButton = (retry) => h("button", { type: "button", class: "button", onclick: retry }, t("retry"));

const question = (text, id) => h("h2", { class: "question", id, dir: "auto" }, text);

function searched(asked, query) {
  if (!query || query === asked) return null;
  return h("p", { class: "searched" }, t("searchedFor"), " ", h("span", { dir: "auto" }, query));
}

function mark(turn, sources) {
  const line = (name, text) => h("p", { class: "mark-line" }, icon(name), h("span", {}, text));
  if (turn.refused) return line("refused", t("refused"));
  if (turn.supported === false) return line("warning", t("unsupported"));
  return sources.length === 0 ? line("warning", t("noSources")) : null;
}

function reference(number, source) {
  return h(
    "a",
    { class: "reference", href: source.href.slice(1), "aria-label": t("openSource", number, place(source)) },
    String(number),
  );
}

const place = (source) => {
  const headings = [source.title, source.heading].filter((part, at, all) => part && part !== all[at - 1]);
  return headings.join(" › ") || source.document;
};

function sourceList(sources) {
  return h(
    "section",
    { class: "sources", "aria-label": t("sources") },
    h(
      "ol",
      {},
      sources.map((source, at) =>
        h(
          "li",
          {},
          h("span", { class: "source-number" }, String(at + 1)),
          h(
            "div",
            { dir: "auto" },
            h("a", { href: source.href.slice(1) }, place(source)),
            source.page ? h("span", { class: "quiet" }, ` · ${t("page", source.page)}`) : null,
            // An answer that is the quote itself need not be read twice.
            source.verbatim ? null : h("q", { class: "quote" }, source.quote),
          ),
        ),
      ),
    ),
  );
}

function rating(conversation, turn) {
  const area = h("div", { class: "rating" });
  draw(turn.feedback, false);
  return area;

  function draw(feedback, editing) {
    const rated = feedback?.rating ?? null;
    fill(
      area,
      h(
        "div",
        { class: "thumbs", role: "group", "aria-label": t("rateGroup") },
        thumb("up", t("helpful"), rated),
        thumb("down", t("notHelpful"), rated),
      ),
      rated === "down" && (editing ? form(feedback) : correction(feedback)),
    );
  }

  function thumb(name, label, rated) {
    return h(
      "button",
      { type: "button", class: "thumb", "aria-pressed": String(rated === name), onclick: () => choose(name, rated) },
      icon(name),
      label,
    );
  }

  async function choose(name, rated) {
    const next = rated === name ? null : name;
    if (await send({ rating: next }, next === null ? t("ratingRemoved") : t("ratingSaved"))) {
      draw(turn.feedback, next === "down");
      area.querySelector(next === "down" ? "textarea" : `.thumb:nth-child(${name === "up" ? 1 : 2})`).focus();
    }
  }

  function correction(feedback) {
    if (!feedback.correction) return h("button", { type: "button", class: "link", onclick: () => edit() }, t("correctionSend"));
    return h(
      "div",
      { class: "correction" },
      h("p", { class: "quiet" }, t("correctionYours")),
      h("p", { class: "answer", dir: "auto" }, feedback.correction),
      h("button", { type: "button", class: "link", onclick: () => edit() }, t("edit")),
    );
  }

  function edit() {
    draw(turn.feedback, true);
    area.querySelector("textarea").focus();
  }

  function form(feedback) {
    const id = `correction-${turn.number}`;
    const input = h("textarea", { id, rows: 3, dir: "auto", maxlength: 8000, "aria-describedby": `${id}-hint` });
    input.value = feedback.correction ?? "";
    const submit = async (event) => {
      event.preventDefault();
      const text = input.value.trim();
      if (await send({ rating: "down", correction: text || null }, t("correctionThanks"))) draw(turn.feedback, false);
    };
    return h(
      "form",
      { class: "correction", onsubmit: submit },
      h("label", { for: id }, t("correctionLabel")),
      input,
      h("p", { class: "quiet", id: `${id}-hint` }, t("correctionHint")),
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "submit", class: "button" }, t("correctionSend")),
        h("button", { type: "button", class: "link", onclick: () => draw(turn.feedback, false) }, t("cancel")),
      ),
    );
  }

  async function send(change, done) {
    const body = { domain: conversation.domain, thread: conversation.id, turn: turn.number, ...change };
    try {
      turn.feedback = (await api.rate(body)).feedback;
      announce(done);
      return true;
    } catch (error) {
      // What was typed stays in the form.
      area.querySelector(".alert")?.remove();
      area.append(h("p", { class: "alert", role: "alert" }, icon("warning"), error.message || t("offline")));
      return false;
    }
  }
}
