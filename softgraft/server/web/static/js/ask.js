// The page that asks: a conversation, and the form below it.

import { conversationOf } from "./conversation.js";
import { announce, fill, h, icon } from "./dom.js";
import { t } from "./i18n.js";
import { completeSentences } from "./text.js";
import { pendingTurn, storedTurn } from "./turn.js";

const NEAR_END = 120;

export async function askPage(context, id) {
  const { domain, main } = context;
  const conversation = conversationOf(domain.name, id);
  // Anew even if it is unfinished: a turn may have been rated or added elsewhere.
  if (!conversation.running) await conversation.load();
  const view = new AskView(context, conversation);
  fill(main, view.element);
  view.show();
  return { title: view.name(), leave: () => view.leave(), focus: view.input };
}

class AskView {
  constructor(context, conversation) {
    this.context = context;
    this.conversation = conversation;
    this.draftKey = `softgraft.draft.${conversation.domain}.${conversation.id ?? ""}`;
    this.live = null;
    this.frame = null;
    this.turns = h("div", { class: "turns" });
    this.form = this.makeForm();
    const isNew = conversation.id === null && conversation.pending === null;
    this.element = h(
      "div",
      { class: "ask" },
      h(
        "div",
        { class: "page-head" },
        h("h1", { tabindex: -1, dir: "auto" }, this.heading()),
        h("a", { class: "link new-thread", href: `#/${encodeURIComponent(conversation.domain)}/ask`, hidden: isNew }, t("newThread")),
      ),
      isNew && h("p", { class: "intro" }, t("askIntro", context.domain.title)),
      conversation.damaged.length > 0 &&
        h("p", { class: "mark-line" }, icon("warning"), h("span", {}, t("damaged", conversation.damaged.join(", ")))),
      conversation.summary && h("details", {}, h("summary", {}, t("summary")), h("p", { dir: "auto" }, conversation.summary)),
      this.turns,
      this.form,
    );
    this.listeners = {
      change: () => this.show(),
      text: () => this.grow(),
      thread: () => this.adopt(),
    };
    for (const [name, listener] of Object.entries(this.listeners)) conversation.addEventListener(name, listener);
  }

  heading() {
    return this.conversation.title || this.context.domain.title;
  }

  /** Name of the tab: the title, or the first question. */
  name() {
    return this.conversation.title || (this.conversation.turns[0]?.question ?? t("ask"));
  }

  leave() {
    for (const [name, listener] of Object.entries(this.listeners)) this.conversation.removeEventListener(name, listener);
  }

  makeForm() {
    this.input = h("textarea", {
      id: "question",
      rows: 2,
      dir: "auto",
      maxlength: 20000,
      "aria-describedby": "question-hint",
      oninput: () => sessionStorage.setItem(this.draftKey, this.input.value),
      onkeydown: (event) => {
        // While an input method composes, Enter chooses a word.
        if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
        event.preventDefault();
        this.submit();
      },
    });
    this.input.value = sessionStorage.getItem(this.draftKey) ?? "";
    this.send = h("button", { type: "submit", class: "button primary" }, t("send"));
    this.stop = h("button", { type: "button", class: "button", onclick: () => this.conversation.stop() }, t("stop"));
    return h(
      "form",
      {
        class: "composer",
        onsubmit: (event) => {
          event.preventDefault();
          this.submit();
        },
      },
      h("label", { for: "question" }, t("questionLabel")),
      h("div", { class: "composer-row" }, this.input, this.send, this.stop),
      h("p", { class: "quiet", id: "question-hint" }, t("questionHint")),
    );
  }

  submit() {
    const question = this.input.value.trim();
    if (!question || this.conversation.running) return;
    // The draft stays stored until the answer is: a reload brings it back.
    sessionStorage.setItem(this.draftKey, this.input.value);
    this.input.value = "";
    this.run(this.conversation.ask(question), question);
  }

  retry() {
    const { question } = this.conversation.pending;
    if (this.input.value.trim() === question) this.input.value = "";
    this.run(this.conversation.retry(), question);
  }

  async run(work, question) {
    this.element.querySelector(".intro")?.remove();
    this.turns.lastElementChild?.scrollIntoView({ block: "nearest" });
    const asked = this.conversation.pending;
    await work;
    const { pending, turns } = this.conversation;
    if (pending !== null) {
      if (!this.input.value) this.input.value = question;
      return;
    }
    if (!this.input.value) sessionStorage.removeItem(this.draftKey);
    const turn = turns.at(-1);
    const rest = turn.answer.slice(asked?.announced ?? 0).trim();
    if (rest) announce(rest);
    announce(turn.refused ? t("refused") : t("answerReady", turn.citations.length));
  }

  /** Draw what has changed: stored turns once, the pending one anew. */
  show() {
    const { conversation } = this;
    const follow = this.isAtEnd();
    this.turns.querySelector("[data-pending]")?.remove();
    const drawn = this.turns.childElementCount;
    for (const turn of conversation.turns.slice(drawn)) this.turns.append(storedTurn(conversation, turn));
    this.live = null;
    if (conversation.pending !== null) {
      const { element, live } = pendingTurn(conversation, () => this.retry());
      element.dataset.pending = "";
      this.live = live;
      this.turns.append(element);
    }
    this.stop.hidden = !conversation.running;
    this.send.hidden = conversation.running;
    if (follow) this.toEnd();
  }

  /** Show what has arrived since the last frame; laying out each piece would take longer than writing it. */
  grow() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      const { pending } = this.conversation;
      if (this.live === null || pending === null) return;
      const follow = this.isAtEnd();
      this.live.appendData(pending.text.slice(this.live.length));
      const sentences = completeSentences(pending.text.slice(pending.announced));
      pending.announced += sentences.length;
      if (sentences.trim()) announce(sentences.trim());
      if (follow) this.toEnd();
    });
  }

  adopt() {
    const { domain, id } = this.conversation;
    sessionStorage.removeItem(this.draftKey);
    this.draftKey = `softgraft.draft.${domain}.${id}`;
    if (!this.input.isConnected) return;
    this.element.querySelector(".new-thread").hidden = false;
    // The address of the conversation, so that a reload shows it again.
    history.replaceState(null, "", `#/${encodeURIComponent(domain)}/ask/${encodeURIComponent(id)}`);
    this.context.setTitle(this.name());
  }

  isAtEnd() {
    const { scrollHeight, clientHeight, scrollTop } = document.documentElement;
    return scrollHeight - clientHeight - scrollTop < NEAR_END;
  }

  toEnd() {
    window.scrollTo({ top: document.documentElement.scrollHeight });
  }
}
