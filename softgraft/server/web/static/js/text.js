// Positions of the server count code points; JavaScript counts UTF-16 units.

/** Cuts of a text at positions in code points. */
export class CodePoints {
  constructor(text) {
    this.text = text;
    this.points = null;
    // Most texts have no character beyond the basic plane, and then both counts agree.
    if (/[\ud800-\udfff]/.test(text)) this.points = Array.from(text);
    this.length = this.points === null ? text.length : this.points.length;
  }

  slice(start, end) {
    return this.points === null ? this.text.slice(start, end) : this.points.slice(start, end).join("");
  }
}

/**
 * An answer as pieces: `{text}`, or `{text, numbers}` for a sentence with the numbers of its citations.
 * Citations of one quote share a number; `sources` has one citation per number, which is `verbatim` if the answer
 * repeats the whole quote.
 */
export function citedPieces(answer, citations) {
  const points = new CodePoints(answer);
  const sources = [];
  const numbers = new Map();
  const ends = new Map();
  for (const citation of citations) {
    const key = `${citation.document}\n${citation.span.join()}`;
    if (!numbers.has(key)) {
      const sentence = points.slice(citation.start, citation.end);
      sources.push({ ...citation, verbatim: sentence.includes(citation.quote) });
      numbers.set(key, sources.length);
    }
    const end = Math.min(Math.max(citation.end, 0), points.length);
    const own = ends.get(end) ?? [];
    if (!own.includes(numbers.get(key))) own.push(numbers.get(key));
    ends.set(end, own);
  }
  const pieces = [];
  let from = 0;
  for (const end of [...ends.keys()].sort((a, b) => a - b)) {
    pieces.push({ text: points.slice(from, end), numbers: ends.get(end) });
    from = end;
  }
  if (from < points.length) pieces.push({ text: points.slice(from), numbers: [] });
  return { pieces, sources };
}

/** The complete sentences at the beginning of a text. */
export function completeSentences(text) {
  const ends = [". ", "! ", "? ", "\n", "。", "！", "？", "؟ "].map((mark) => {
    const at = text.lastIndexOf(mark);
    return at < 0 ? 0 : at + mark.length;
  });
  return text.slice(0, Math.max(...ends));
}
