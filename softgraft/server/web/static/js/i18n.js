// The texts of the page in English and Chinese.

const KEY = "softgraft.language";

const EN = {
  skip: "Skip to the content",
  domain: "Domain",
  pages: "Pages",
  ask: "Ask",
  threads: "Conversations",
  documents: "Sources",
  quality: "Quality",
  switchLanguage: "中文",
  switchLanguageLabel: "切换到中文",
  loading: "Loading…",
  retry: "Try again",
  offline: "The server cannot be reached. Check the connection, then try again.",
  failed: "This did not work.",
  noDomains: "This server has no domain that you may use.",
  keyTitle: "Key",
  keyText: "This server needs a key. It is kept until you close this tab.",
  keyWrong: "The server does not accept this key.",
  keyLabel: "Your key",
  continue: "Continue",

  askIntro: (title) => `Answers come from the documents of ${title}. Each one shows the words that it rests on.`,
  questionLabel: "Your question",
  questionHint: "Enter sends. Shift and Enter begin a new line.",
  send: "Ask",
  stop: "Stop",
  newThread: "New conversation",
  searching: "Searching the documents…",
  searchedFor: "Searched for:",
  writing: "Writing the answer…",
  answerReady: (count) => (count === 1 ? "The answer is complete, with 1 source." : `The answer is complete, with ${count} sources.`),
  stopped: "Stopped. This answer was not saved.",
  notSaved: "The answer was not finished and not saved. Your question is still here.",
  refused: "Refused: the documents do not answer this.",
  unsupported: "Not supported: the documents do not back every sentence. Check the sources.",
  noSources: "No source: nothing in the documents is quoted for this answer.",
  sources: "Sources",
  openSource: (number, title) => `Source ${number}: ${title}`,
  page: (number) => `page ${number}`,
  summary: "Summary of earlier turns",
  damaged: (parts) => `Damaged and left out: ${parts}.`,

  helpful: "Helpful",
  notHelpful: "Not helpful",
  rateGroup: "Rate this answer",
  correctionLabel: "What should the answer have been? (optional)",
  correctionSend: "Send correction",
  correctionHint: "A person reviews corrections before anything learns from them.",
  correctionThanks: "Correction saved.",
  correctionYours: "Your correction:",
  ratingSaved: "Rating saved.",
  ratingRemoved: "Rating removed.",
  edit: "Edit",
  cancel: "Cancel",

  threadsEmpty: "No conversations yet.",
  threadsNone: "No conversation matches.",
  filter: "Filter conversations",
  turns: (count) => (count === 1 ? "1 question" : `${count} questions`),
  actions: "Actions",
  actionsFor: (title) => `Actions for ${title}`,
  rename: "Rename",
  titleLabel: "Title",
  save: "Save",
  exportMarkdown: "Export as Markdown",
  exportJson: "Export as JSON",
  remove: "Delete",
  removeTitle: "Delete this conversation?",
  removeText: (title) => `“${title}” and its ratings are deleted for good.`,
  removed: "Conversation deleted.",
  renamed: "Conversation renamed.",
  damagedThread: "damaged",
  untitled: "(untitled)",

  documentsIntro: "The documents that answers are quoted from.",
  documentsEmpty: "No documents yet.",
  characters: (count) => `${count} characters`,
  document: "Document",
  more: "Show more",
  moreBefore: "Show earlier text",
  moreAfter: "Show later text",
  back: "Back",
  highlighted: (first, last, all) => `Characters ${first} to ${last} of ${all} are highlighted.`,
  documentLength: (all) => `${all} characters`,
  quotedWords: "Quoted words",

  evaluation: "Latest evaluation",
  evaluationNone: "No evaluation yet. Run softgraft eval on the command line.",
  evaluationOn: (split, date) => `On the ${split} questions, ${date}. Brackets show 95% intervals.`,
  system: "System",
  accuracy: "Accuracy",
  tokenF1: "Token F1",
  unsupportedShare: "Unsupported",
  refusedRightly: "Refused, unanswerable",
  refusedWrongly: "Refused, answerable",
  feedback: "Feedback over time",
  feedbackNone: "No ratings yet.",
  day: "Day (UTC)",
  share: "Share helpful",
  corrections: "Corrections",
  usage: (questions, threads, refusals) =>
    `Questions in stored conversations: ${questions}. Conversations: ${threads}. Refused questions: ${refusals}.`,
  mostAsked: "Most asked",
  mostRefused: "Most refused",
  nothingAsked: "No questions yet.",
  nothingRefused: "No refusals yet.",
  count: "Times",
  question: "Question",
};

const ZH = {
  skip: "跳到正文",
  domain: "领域",
  pages: "页面",
  ask: "提问",
  threads: "对话",
  documents: "资料",
  quality: "质量",
  switchLanguage: "English",
  switchLanguageLabel: "Switch to English",
  loading: "正在加载…",
  retry: "重试",
  offline: "无法连接服务器。请检查网络后重试。",
  failed: "操作失败。",
  noDomains: "此服务器上没有您可以使用的领域。",
  keyTitle: "密钥",
  keyText: "此服务器需要密钥。密钥保存到您关闭此标签页为止。",
  keyWrong: "服务器不接受此密钥。",
  keyLabel: "您的密钥",
  continue: "继续",

  askIntro: (title) => `回答来自“${title}”的资料，并显示所依据的原文。`,
  questionLabel: "您的问题",
  questionHint: "按 Enter 发送，按 Shift 和 Enter 换行。",
  send: "提问",
  stop: "停止",
  newThread: "新对话",
  searching: "正在检索资料…",
  searchedFor: "检索内容：",
  writing: "正在撰写回答…",
  answerReady: (count) => `回答已完成，共 ${count} 处来源。`,
  stopped: "已停止。此回答未保存。",
  notSaved: "回答未完成，也未保存。您的问题仍保留在这里。",
  refused: "未回答：资料中没有答案。",
  unsupported: "依据不足：并非每句话都有资料支持。请核对来源。",
  noSources: "无来源：此回答没有引用资料。",
  sources: "来源",
  openSource: (number, title) => `来源 ${number}：${title}`,
  page: (number) => `第 ${number} 页`,
  summary: "先前对话的摘要",
  damaged: (parts) => `已损坏并略去：${parts}。`,

  helpful: "有帮助",
  notHelpful: "没有帮助",
  rateGroup: "评价此回答",
  correctionLabel: "正确的回答应该是什么？（可选）",
  correctionSend: "提交更正",
  correctionHint: "更正须经人工审核后才会用于训练。",
  correctionThanks: "更正已保存。",
  correctionYours: "您的更正：",
  ratingSaved: "评价已保存。",
  ratingRemoved: "评价已撤销。",
  edit: "修改",
  cancel: "取消",

  threadsEmpty: "还没有对话。",
  threadsNone: "没有符合条件的对话。",
  filter: "筛选对话",
  turns: (count) => `${count} 个问题`,
  actions: "操作",
  actionsFor: (title) => `“${title}”的操作`,
  rename: "重命名",
  titleLabel: "标题",
  save: "保存",
  exportMarkdown: "导出为 Markdown",
  exportJson: "导出为 JSON",
  remove: "删除",
  removeTitle: "删除此对话？",
  removeText: (title) => `“${title}”及其评价将被永久删除。`,
  removed: "对话已删除。",
  renamed: "对话已重命名。",
  damagedThread: "已损坏",
  untitled: "（无标题）",

  documentsIntro: "回答所引用的资料。",
  documentsEmpty: "还没有资料。",
  characters: (count) => `${count} 个字符`,
  document: "资料",
  more: "显示更多",
  moreBefore: "显示前文",
  moreAfter: "显示后文",
  back: "返回",
  highlighted: (first, last, all) => `共 ${all} 个字符，标出第 ${first} 至 ${last} 个。`,
  documentLength: (all) => `共 ${all} 个字符`,
  quotedWords: "引用的原文",

  evaluation: "最近一次评估",
  evaluationNone: "尚未评估。请在命令行运行 softgraft eval。",
  evaluationOn: (split, date) => `数据：${split}，${date}。方括号内为 95% 区间。`,
  system: "系统",
  accuracy: "准确率",
  tokenF1: "词元 F1",
  unsupportedShare: "依据不足",
  refusedRightly: "拒答（无答案）",
  refusedWrongly: "拒答（有答案）",
  feedback: "评价趋势",
  feedbackNone: "还没有评价。",
  day: "日期（UTC）",
  share: "有帮助的比例",
  corrections: "更正",
  usage: (questions, threads, refusals) => `已保存的问题：${questions}。对话：${threads}。拒答：${refusals}。`,
  mostAsked: "最常提出的问题",
  mostRefused: "最常被拒答的问题",
  nothingAsked: "还没有问题。",
  nothingRefused: "还没有拒答。",
  count: "次数",
  question: "问题",
};

const TABLES = { en: EN, zh: ZH };
const TAGS = { en: "en", zh: "zh-Hans" };

function preferred() {
  const stored = localStorage.getItem(KEY);
  if (stored in TABLES) return stored;
  const first = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in TABLES);
  return first ?? "en";
}

let current = preferred();

/** The text of a name in the current language, with values put in. */
export function t(name, ...values) {
  const text = TABLES[current][name];
  return typeof text === "function" ? text(...values) : text;
}

export const language = () => TAGS[current];

export function switchLanguage() {
  current = current === "en" ? "zh" : "en";
  localStorage.setItem(KEY, current);
}

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(language(), { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

/** A time of the server in the reader's zone; empty if there is none. */
export function when(text) {
  const date = new Date(text ?? "");
  if (Number.isNaN(date.getTime())) return "";
  return new Intl.DateTimeFormat(language(), { dateStyle: "medium", timeStyle: "short" }).format(date);
}
