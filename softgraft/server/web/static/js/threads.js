// The page of conversations: open, filter, rename, export, delete.

import * as api from "./api.js";
import { forget } from "./conversation.js";
import { announce, fill, h, icon, saveAs } from "./dom.js";
import { t, when } from "./i18n.js";

export async function threadsPage({ domain, main }) {
  const { threads } = await api.threads(domain.name);
  const list = h("ul", { class: "threads" });
  const empty = h("p", { class: "quiet" });
  const filter = h("input", { type: "search", id: "filter", dir: "auto", autocomplete: "off", oninput: () => draw() });
  fill(
    main,
    h(
      "div",
      { class: "page-head" },
      h("h1", { tabindex: -1 }, t("threads")),
      h("a", { class: "link", href: address(null) }, t("newThread")),
    ),
    threads.length > 0 && h("div", { class: "field" }, h("label", { for: "filter" }, t("filter")), filter),
    list,
    empty,
  );
  draw();
  return { title: t("threads") };

  function address(id) {
    return `#/${encodeURIComponent(domain.name)}/ask${id === null ? "" : `/${encodeURIComponent(id)}`}`;
  }

  function draw() {
    const wanted = filter.value.trim().toLowerCase();
    const shown = threads.filter((one) => `${one.title} ${one.first} ${one.id}`.toLowerCase().includes(wanted));
    fill(list, shown.map(row));
    empty.hidden = shown.length > 0;
    empty.textContent = threads.length > 0 ? t("threadsNone") : t("threadsEmpty");
  }

  function row(thread) {
    const name = thread.title || thread.first || t("untitled");
    const actions = h(
      "details",
      { class: "actions" },
      h("summary", { "aria-label": t("actionsFor", name) }, t("actions")),
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "button", class: "link", onclick: () => rename() }, t("rename")),
        h("button", { type: "button", class: "link", onclick: () => save("markdown", "md") }, t("exportMarkdown")),
        h("button", { type: "button", class: "link", onclick: () => save("json", "json") }, t("exportJson")),
        h("button", { type: "button", class: "link danger", onclick: () => remove() }, t("remove")),
      ),
    );
    const head = h("div", { class: "thread-head" }, h("a", { class: "thread-name", href: address(thread.id), dir: "auto" }, name));
    const meta = [t("turns", thread.turns), when(thread.updated), thread.damaged && t("damagedThread")];
    const item = h("li", {}, head, h("p", { class: "quiet" }, meta.filter(Boolean).join(" · ")), actions);
    return item;

    function problem(error) {
      item.querySelector(".alert")?.remove();
      item.append(h("p", { class: "alert", role: "alert" }, icon("warning"), error.message || t("offline")));
    }

    async function save(format, suffix) {
      try {
        saveAs(await api.exported(domain.name, thread.id, format), `${thread.id}.${suffix}`);
      } catch (error) {
        problem(error);
      }
    }

    function rename() {
      const id = `title-${threads.indexOf(thread)}`;
      const input = h("input", { id, type: "text", maxlength: 200, dir: "auto", autocomplete: "off" });
      input.value = thread.title || thread.first.slice(0, 200);
      const submit = async (event) => {
        event.preventDefault();
        try {
          thread.title = (await api.rename(domain.name, thread.id, input.value)).title;
          announce(t("renamed"));
          redraw();
        } catch (error) {
          problem(error);
        }
      };
      fill(
        head,
        h(
          "form",
          { class: "rename", onsubmit: submit, onkeydown: (event) => event.key === "Escape" && redraw() },
          h("label", { for: id }, t("titleLabel")),
          input,
          h("button", { type: "submit", class: "button" }, t("save")),
          h("button", { type: "button", class: "link", onclick: () => redraw() }, t("cancel")),
        ),
      );
      input.select();
    }

    function redraw() {
      const next = row(thread);
      item.replaceWith(next);
      next.querySelector("a").focus();
    }

    function remove() {
      const dialog = h(
        "dialog",
        { "aria-labelledby": "delete-title", onclose: () => dialog.remove() },
        h("h2", { id: "delete-title" }, t("removeTitle")),
        h("p", { dir: "auto" }, t("removeText", name)),
        h(
          "div",
          { class: "buttons" },
          h("button", { type: "button", class: "button", autofocus: true, onclick: () => dialog.close() }, t("cancel")),
          h("button", { type: "button", class: "button danger", onclick: () => confirmed(dialog) }, t("remove")),
        ),
      );
      document.body.append(dialog);
      dialog.showModal();
    }

    async function confirmed(dialog) {
      try {
        await api.remove(domain.name, thread.id);
      } catch (error) {
        dialog.close();
        problem(error);
        return;
      }
      dialog.close();
      forget(domain.name, thread.id);
      threads.splice(threads.indexOf(thread), 1);
      draw();
      announce(t("removed"));
      main.querySelector("h1").focus();
    }
  }
}
