// The frame of the page: domain, navigation, language, and the page of the address.
//
// Addresses are #/DOMAIN/ask, #/DOMAIN/ask/THREAD, #/DOMAIN/threads, #/DOMAIN/documents,
// #/DOMAIN/document/ID?start=START&end=END and #/DOMAIN/quality. Names are percent-encoded.

import * as api from "./api.js";
import { askPage } from "./ask.js";
import { documentPage, documentsPage } from "./documents.js";
import { fill, h, icon } from "./dom.js";
import { language, switchLanguage, t } from "./i18n.js";
import { qualityPage } from "./quality.js";
import { threadsPage } from "./threads.js";

const LAST = "softgraft.domain";
const PAGES = ["ask", "threads", "documents", "quality"];

let domains = [];
let leave = () => undefined;
let visit = 0;
// The address that was shown before.
let before = "";

function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [domain = "", page = "ask", id = null] = path.split("/").filter(Boolean).map(decoded);
  return { domain, page, id, parameters: new URLSearchParams(query) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

async function start() {
  api.onKeyNeeded(askForKey);
  try {
    domains = (await api.domains()).domains;
  } catch (error) {
    frame(null, "");
    failure(document.getElementById("main"), error, start);
    return;
  }
  window.addEventListener("hashchange", (event) => {
    before = new URL(event.oldURL).hash;
    show(true);
  });
  await show(false);
}

/** Show the page of the address; after a navigation the focus moves to it. */
async function show(moved) {
  const { domain: name, page, id, parameters } = route();
  const domain = domains.find((one) => one.name === name);
  if (domain === undefined) {
    const first = domains.find((one) => one.name === localStorage.getItem(LAST)) ?? domains[0];
    frame(null, "");
    if (first === undefined) fill(document.getElementById("main"), h("p", {}, t("noDomains")));
    else location.replace(`#/${encodeURIComponent(first.name)}/ask`);
    return;
  }
  localStorage.setItem(LAST, domain.name);
  const current = ++visit;
  leave();
  leave = () => undefined;
  const main = frame(domain, page);
  fill(main, h("p", { class: "quiet" }, t("loading")));
  // A page that loads while another one is opened draws into an element that is gone.
  const own = h("div", {});
  const setTitle = (title) => {
    document.title = `${title} · ${domain.title}`;
  };
  const context = { domain, main: own, setTitle };
  try {
    const shown = await pageOf(context, page, id, parameters);
    if (current !== visit) {
      shown.leave?.();
      return;
    }
    leave = shown.leave ?? leave;
    fill(main, own);
    setTitle(shown.title);
    settle(main, shown.focus, moved);
  } catch (error) {
    if (current === visit) failure(main, error, () => show(moved));
  }
}

function settle(main, focus, moved) {
  const mark = main.querySelector("mark");
  if (!moved && mark === null) return;
  // Whoever comes back goes on at the link that led away.
  const link = mark === null && [...main.querySelectorAll("a")].find((one) => one.getAttribute("href") === before);
  const place = mark ?? link;
  if (place) {
    place.scrollIntoView({ block: "center" });
    place.focus({ preventScroll: true });
    return;
  }
  window.scrollTo({ top: focus instanceof HTMLTextAreaElement ? document.documentElement.scrollHeight : 0 });
  // On a touch screen, a focused field would bring up the keyboard.
  const target = matchMedia("(pointer: coarse)").matches ? null : focus;
  (target ?? main.querySelector("h1"))?.focus({ preventScroll: true });
}

function pageOf(context, page, id, parameters) {
  if (page === "threads") return threadsPage(context);
  if (page === "documents") return documentsPage(context);
  if (page === "document" && id !== null) return documentPage(context, id, parameters);
  if (page === "quality") return qualityPage(context);
  return askPage(context, id);
}

/** Draw the frame, and return the element for the page. */
function frame(domain, page) {
  document.documentElement.lang = language();
  const active = page === "document" ? "documents" : PAGES.includes(page) ? page : "ask";
  const main = h("main", { id: "main", class: `page-${active}`, tabindex: -1 });
  fill(
    document.getElementById("app"),
    h("button", { type: "button", class: "skip", onclick: () => document.getElementById("main").focus() }, t("skip")),
    h(
      "header",
      {},
      h(
        "div",
        { class: "bar-inner" },
        h("span", { class: "brand" }, "Softgraft"),
        domain !== null && picker(domain, active),
        domain !== null && navigation(domain, active),
        h(
          "button",
          { type: "button", class: "link language", lang: language() === "en" ? "zh-Hans" : "en", "aria-label": t("switchLanguageLabel"), onclick: changeLanguage },
          t("switchLanguage"),
        ),
      ),
    ),
    main,
  );
  return main;
}

function picker(domain, page) {
  if (domains.length === 1) return h("span", { class: "domain", dir: "auto" }, domain.title);
  const select = h(
    "select",
    { "aria-label": t("domain"), onchange: () => location.assign(`#/${encodeURIComponent(select.value)}/${page}`) },
    domains.map((one) => h("option", { value: one.name, selected: one.name === domain.name }, one.title)),
  );
  return select;
}

function navigation(domain, active) {
  return h(
    "nav",
    { "aria-label": t("pages") },
    PAGES.map((page) =>
      h("a", { href: `#/${encodeURIComponent(domain.name)}/${page}`, "aria-current": page === active ? "page" : null }, t(page)),
    ),
  );
}

async function changeLanguage() {
  switchLanguage();
  await show(false);
  document.querySelector(".language")?.focus();
}

function failure(main, error, again) {
  fill(
    main,
    h(
      "div",
      { class: "alert", role: "alert" },
      icon("warning"),
      h("span", { dir: "auto" }, error instanceof api.ApiError ? error.message || t("offline") : `${t("failed")} ${error}`),
      h("button", { type: "button", class: "button", onclick: again }, t("retry")),
    ),
  );
}

function askForKey(wasWrong) {
  return new Promise((resolve) => {
    const input = h("input", { id: "key", type: "password", autocomplete: "off", required: true });
    const dialog = h(
      "dialog",
      { "aria-labelledby": "key-title", oncancel: (event) => event.preventDefault() },
      h("h2", { id: "key-title" }, t("keyTitle")),
      h("p", {}, wasWrong ? t("keyWrong") : t("keyText")),
      h(
        "form",
        {
          onsubmit: (event) => {
            event.preventDefault();
            dialog.close();
            dialog.remove();
            resolve(input.value.trim());
          },
        },
        h("label", { for: "key" }, t("keyLabel")),
        input,
        h("button", { type: "submit", class: "button primary" }, t("continue")),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

start();
