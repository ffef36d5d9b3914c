// The state of a conversation, without its view: a stream goes on while another page is shown.

import * as api from "./api.js";

// Conversations whose answer is being written, or failed.
const unfinished = new Set();

/**
 * Events: `change` (turns or the pending turn), `text` (more of the pending answer), `thread` (the id is known).
 *
 * `pending` is the turn that is not stored: `{question, query, text, announced, state, message}`. The state is
 * `running`, `stopped` or `failed`; `announced` counts the units of `text` that were read to screen readers.
 */
export class Conversation extends EventTarget {
  constructor(domain, id = null) {
    super();
    this.domain = domain;
    this.id = id;
    this.title = "";
    this.summary = null;
    this.damaged = [];
    this.turns = [];
    this.pending = null;
    this.started = null;
    this.controller = null;
  }

  get running() {
    return this.pending?.state === "running";
  }

  async load() {
    if (this.id === null) return;
    const found = await api.thread(this.domain, this.id);
    const wasStored = this.pending !== null && this.hasPending(found);
    Object.assign(this, { title: found.title, summary: found.summary, damaged: found.damaged, turns: found.turns });
    if (wasStored) this.dismiss();
  }

  /** Whether the answer to the pending question was stored although it did not arrive. */
  hasPending({ turns }) {
    return turns.length > this.turns.length && turns.at(-1).question === this.pending.question.trim();
  }

  async ask(question) {
    this.pending = { question, query: "", text: "", announced: 0, state: "running", message: "" };
    this.controller = new AbortController();
    unfinished.add(this);
    this.emit("change");
    try {
      await this.receive(this.pending, this.controller.signal);
      unfinished.delete(this);
    } catch (error) {
      if (this.pending === null) return;
      this.pending.state = error.name === "AbortError" ? "stopped" : "failed";
      this.pending.message = error.message;
      this.pending.status = error.status ?? 0;
    } finally {
      this.controller = null;
      this.emit("change");
    }
  }

  async receive(pending, signal) {
    // An id that the server gave stays, so that a second try can see whether the first one was stored after all.
    const thread = this.id ?? this.started;
    for await (const [name, data] of api.ask({ domain: this.domain, question: pending.question, thread }, signal)) {
      if (name === "start") this.started = data.thread;
      if (name === "query") {
        pending.query = data.query;
        this.emit("change");
      }
      if (name === "text") {
        pending.text += data.text;
        this.emit("text");
      }
      if (name === "error") throw new api.ApiError(data.message, data.status);
      if (name === "answer") {
        this.pending = null;
        this.turns.push(data.turn);
        this.adopt(data.thread);
        return;
      }
    }
    throw new api.ApiError("", 0);
  }

  adopt(id) {
    if (this.id === id) return;
    this.id = id;
    this.emit("thread");
  }

  stop() {
    this.controller?.abort();
  }

  /** Ask the pending question again, unless its answer was stored although it did not arrive. */
  async retry() {
    const { question } = this.pending;
    const id = this.id ?? this.started;
    if (id !== null) {
      try {
        const found = await api.thread(this.domain, id);
        if (this.hasPending(found)) {
          this.turns = found.turns;
          this.dismiss();
          this.adopt(id);
          return;
        }
      } catch (error) {
        // 404: the first turn of a conversation was not stored.
        if (error.status !== 404) {
          this.pending.message = error.message;
          this.emit("change");
          return;
        }
      }
    }
    await this.ask(question);
  }

  dismiss() {
    this.pending = null;
    unfinished.delete(this);
    this.emit("change");
  }

  emit(name) {
    this.dispatchEvent(new Event(name));
  }
}

/** The conversation of an address: the unfinished one, or a new object. */
export function conversationOf(domain, id) {
  for (const one of unfinished) if (one.domain === domain && one.id === id) return one;
  return new Conversation(domain, id);
}

/** Drop what is unfinished in a conversation that was deleted. */
export function forget(domain, id) {
  for (const one of unfinished) {
    if (one.domain === domain && one.id === id) {
      one.stop();
      unfinished.delete(one);
    }
  }
}
