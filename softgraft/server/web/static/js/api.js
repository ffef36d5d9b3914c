// Calls of the server.

const KEY = "softgraft.key";

/** A call that failed. `status` is 0 if the server did not answer. */
export class ApiError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

let askForKey = null;

/** Set what asks the user for a key; it returns a promise of one. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

async function call(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError("", 0);
    }
    if (response.ok) return response;
    if (response.status === 401 && askForKey !== null) {
      sessionStorage.setItem(KEY, await typedKey(Boolean(key)));
      continue;
    }
    throw new ApiError(await messageOf(response), response.status);
  }
}

/** The key that the user types; one that no header can carry is wrong without asking the server. */
async function typedKey(wasWrong) {
  const key = await askForKey(wasWrong);
  return /^[\x21-\x7e]+$/.test(key) ? key : typedKey(true);
}

async function messageOf(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `${response.status} ${response.statusText}`.trim();
  }
}

function query(values) {
  return new URLSearchParams(values).toString();
}

async function json(path, options) {
  const response = await call(path, options);
  try {
    return await response.json();
  } catch {
    // The connection broke within the body.
    throw new ApiError("", 0);
  }
}

function withBody(method, body) {
  return { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
}

export const domains = () => json("api/domains");
export const threads = (domain) => json(`api/threads?${query({ domain })}`);
export const thread = (domain, id) => json(`api/thread?${query({ domain, id })}`);
export const rename = (domain, id, title) => json(`api/thread?${query({ domain, id })}`, withBody("PATCH", { title }));
export const remove = (domain, id) => json(`api/thread?${query({ domain, id })}`, { method: "DELETE" });
export const documents = (domain, first) => json(`api/documents?${query({ domain, first })}`);
export const documentText = (domain, id, span) => json(`api/document?${query({ domain, id, ...span })}`);
export const quality = (domain) => json(`api/quality?${query({ domain })}`);
export const rate = (body) => json("api/feedback", withBody("POST", body));

export async function exported(domain, id, format) {
  return (await call(`api/thread/export?${query({ domain, id, format })}`)).blob();
}

/** Ask a question; yields `[name, data]` for each event of the answer. */
export async function* ask(body, signal) {
  const response = await call("api/ask", { ...withBody("POST", body), signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  try {
    for (;;) {
      const { done, value } = await read(reader);
      if (done) return;
      buffer += value;
      const blocks = buffer.split("\n\n");
      buffer = blocks.pop();
      for (const block of blocks) {
        const event = parsed(block);
        if (event !== null) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

async function read(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("", 0);
  }
}

function parsed(block) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    if (line.startsWith("data: ")) data.push(line.slice(6));
  }
  return data.length === 0 ? null : [name, JSON.parse(data.join("\n"))];
}
