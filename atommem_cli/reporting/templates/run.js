"use strict";
// The episodes of a report. Everything is built from text nodes: what a model wrote never becomes markup.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const WAYS = ["shown", "heard", "taken out", "written", "lost", "retrieved"];

let current = null; // the episode in view
let at = 0; // index of its step in view

// --- texts

/** A text is a list of the numbers of its pieces. */
const text = (ref) => ref.map((piece) => data.pieces[piece]).join("");

function ledger(episode) {
  let state = { entries: new Map(), scratchpad: "", query: "", context: new Map(), gone: new Map() };
  return episode.steps.map((step) => {
    const heard = (step.heard || []).map(([id, role, ref]) => [id, { role, text: text(ref), place: id }]);
    const before = { ...state, context: new Map([...state.context, ...heard]) };
    state = { ...before, gone: new Map([...before.gone, ...taken(step, before.context)]) };
    for (const [part, change] of Object.entries(step.changed || {})) {
      if (Array.isArray(change)) {
        state[part] = text(change);
        continue;
      }
      state[part] = new Map(before[part]);
      for (const [id, value] of Object.entries(change)) {
        if (value === null) state[part].delete(Number(id));
        else state[part].set(Number(id), Array.isArray(value) ? text(value) : { ...value, text: text(value.text) });
      }
    }
    return { before, after: state };
  });
}

const FATES = { filter: "filtered", summarize: "summarised", clear: "cleared" };

/** Messages that a step took out of the context, those too that it had put in: what became of each, and by which step. */
function taken(step, context) {
  const there = new Map(context), gone = new Map();
  for (const op of step.ops.filter((one) => one.outcome === "ok" && FATES[one.kind])) {
    const targets = (op.targets || []).filter((id) => there.has(id));
    const place = Math.min(...targets.map((id) => there.get(id).place));
    const fate = `${FATES[op.kind]}${op.entry === null ? "" : ` into #${op.entry}`} at step ${step.step}`;
    for (const id of targets) gone.set(id, { ...there.get(id), fate });
    if (op.entry !== null) there.set(op.entry, { role: "user", text: text(op.text), place });
  }
  return gone;
}

// --- one step

const missed = (episode) => episode.questions.some((question) => question.missed);
const chip = (words, kind = "") => make("span", { className: `chip ${kind}` }, words);
const heading = (words) => make("h4", {}, words);
const none = (words) => make("p", { className: "none" }, words);

/** What may be long scrolls for itself, by keys too. */
function framed(content, className = "") {
  return make("div", { className: `box ${className}`, tabIndex: 0 }, content);
}

function box(string, empty, className = "") {
  return string ? framed(prose(string), className) : none(empty);
}

function rows(items) {
  const list = make("ol", { className: "rows" });
  for (const [name, content, className] of items) {
    list.append(make("li", { className: className || "" }, make("b", {}, name), content));
  }
  return list;
}

function title(episode, step) {
  if (step.step < 0) return "Before the first call";
  const name = `Step ${step.step}${step.stage ? ` · stage ${step.stage}` : ""}`;
  if (step.question !== null) return `${name} · answers question ${step.question + 1} of ${episode.questions.length}`;
  if (step.chunk === null) {
    const last = episode.steps.findLast((one) => one.step < step.step && typeof one.chunk === "number");
    return last ? `${name} · after chunk ${last.chunk + 1} of ${episode.count}` : name;
  }
  const late = (episode.distractors || []).includes(step.chunk) ? ", a distractor" : "";
  return `${name} · reads chunk ${step.chunk + 1} of ${episode.count}${late}`;
}

function shownTo(episode, step, before) {
  const pane = make("div", {});
  if (step.step < 0) return pane;
  if (step.question !== null) {
    const question = episode.questions[step.question];
    pane.append(heading("Question"), box(question.text === undefined ? "" : text(question.text), "not there any more"));
  } else if (step.chunk !== null) {
    pane.append(heading("Chunk"), box(episode.chunks ? text(episode.chunks[step.chunk]) : "", "not there any more"));
  }
  if (before.scratchpad || !before.context.size) pane.append(heading("Scratchpad"), box(before.scratchpad, "empty"));
  pane.append(heading("Query"), box(before.query, "none yet"));
  pane.append(heading(`Memories shown (${step.shown.length})`));
  const shown = step.shown.map(([entry, ref], index) => [byId(episode) ? `#${entry}` : `Memory ${index + 1} (#${entry})`, prose(text(ref))]);
  pane.append(shown.length ? framed(rows(shown)) : none("none"));
  if (before.context.size) {
    const heard = (step.heard || []).map(([id]) => message("", id, before.context.get(id)));
    pane.append(heading(`New in the context (${heard.length} of ${before.context.size})`));
    pane.append(heard.length ? framed(rows(heard)) : none("none"));
  }
  return pane;
}

/** A row of a message: its id, its role and its text; instructions are folded. */
function message(sign, id, said, className = "") {
  const length = `${said.text.length.toLocaleString("en")} characters`;
  const content = said.role === "system" ? make("details", {}, make("summary", {}, length), prose(said.text)) : prose(said.text);
  return [`${sign}#${id} ${said.role}`, content, className];
}

/** Whether prompts and operations name entries by their ids. */
const byId = (episode) => data.runs[episode.run].ids === true;

function operation(op, ids) {
  const target = op.target === undefined ? "" : ids ? ` #${op.target}` : ` Memory ${op.target}`;
  const about = op.entry === null || (ids && op.entry === op.target) ? "" : ` (#${op.entry})`;
  const name = `${op.kind}${op.automatic ? " (agent)" : ""}${target}${(op.targets || []).map((id) => ` #${id}`).join("")}${about}`;
  const content = make("span", {}, chip(op.outcome.replaceAll("_", " "), op.outcome === "ok" ? "ok" : "no"));
  content.append(op.old ? difference(text(op.old), text(op.text)) : prose(text(op.text)));
  return [name, content];
}

function replied(episode, step) {
  const pane = make("div", {});
  if (step.step >= 0) {
    pane.append(heading("Reply"), box(text(step.reply), "empty", "reply"));
    if (step.finish !== "stop") pane.append(chip(`ended by ${step.finish}`, "no"));
    if (step.error !== undefined) pane.append(prose(text(step.error), "p"));
  }
  pane.append(heading(`Operations (${step.ops.length})`));
  pane.append(step.ops.length ? framed(rows(step.ops.map((op) => operation(op, byId(episode))))) : none("none"));
  return pane;
}

/** `whole`: the entries that stayed as they were, too. */
function stored(before, after, whole) {
  const ids = [...new Set([...before.entries.keys(), ...after.entries.keys()])].sort((a, b) => a - b);
  const store = ids.map((id) => {
    const was = before.entries.get(id), is = after.entries.get(id);
    if (was === undefined) return [`+ #${id}`, prose(is), "added"];
    if (is === undefined) return [`− #${id}`, prose(was), "removed"];
    return was === is ? [`#${id}`, prose(is)] : [`~ #${id}`, difference(was, is), "changed"];
  });
  const listed = whole ? store : store.filter((row) => row.length > 2);
  return [
    heading(`Store after the step (${after.entries.size})`),
    listed.length ? framed(rows(listed)) : none(store.length ? "unchanged" : "empty"),
  ];
}

/** The messages of the context in order: those that the step took out or put in are marked, and what was gone before. */
function conversation(before, after, whole) {
  const gone = new Map([...after.gone].filter(([id]) => !before.gone.has(id)));
  const all = [...new Map([...gone, ...before.context, ...after.context])].sort(([a, one], [b, other]) => one.place - other.place || a - b);
  const told = all.map(([id, said]) => {
    if (gone.has(id)) return left(before.context.has(id) ? "− " : "± ", id, gone.get(id), "removed");
    return before.context.has(id) ? message("", id, said) : message("+ ", id, said, "added");
  });
  const listed = whole ? told : told.filter(([, , className]) => className);
  const parts = [heading(`Context after the step (${after.context.size})`), listed.length ? framed(rows(listed)) : none("unchanged")];
  if (whole && before.gone.size) {
    const earlier = [...before.gone].map(([id, said]) => left("", id, said));
    parts.push(make("details", { className: "gone" }, make("summary", {}, `Gone before this step (${earlier.length})`), framed(rows(earlier))));
  }
  return parts;
}

/** A row of a message that is gone, with what became of it. */
function left(sign, id, said, className = "") {
  const content = make("span", {}, chip(said.fate, "no"), prose(said.text));
  return [`${sign}#${id} ${said.role}`, content, className];
}

function prompt(step) {
  const node = make("details", { className: "prompt" }, make("summary", {}, "The exact prompt"));
  for (const [role, ref] of step.prompt) node.append(heading(role), prose(text(ref), "pre"));
  return node;
}

function drawStep(episode, index, whole = true) {
  const step = episode.steps[index], { before, after } = episode.ledger[index];
  const node = make("section", { className: "step" }, make("h3", {}, title(episode, step)));
  if (step.step >= 0) {
    const cost = `${step.prompt_tokens.toLocaleString("en")} prompt tokens, ${step.new_tokens.toLocaleString("en")} new, ${step.seconds.toFixed(2)} s`;
    node.append(make("p", { className: "soft" }, cost));
  }
  const reply = replied(episode, step), store = stored(before, after, whole);
  node.append(make("div", { className: "panes" }, shownTo(episode, step, before), reply));
  if (before.context.size) {
    const context = make("div", {}, ...conversation(before, after, whole));
    node.append(make("div", { className: "panes state" }, context, make("div", {}, ...store)));
  } else reply.append(...store);
  if (step.prompt) node.append(prompt(step));
  return node;
}

// --- one episode

function lamps(fact) {
  const node = make("div", {});
  for (const way of WAYS) {
    const step = fact[way];
    if (step === undefined) continue; // of agents that keep a conversation
    if (step === null) {
      if (way === "lost" && fact.written === null) continue; // nothing to lose
      node.append(make("span", { className: "lamp" }, way === "lost" ? "not lost" : `never ${way}`));
      continue;
    }
    const lamp = make("button", { type: "button", className: `lamp ${way}` }, `${way} ${step < 0 ? "before the first call" : `at step ${step}`}`);
    lamp.dataset.step = step;
    lamp.addEventListener("click", () => go(current.steps.findIndex((one) => one.step === step)));
    node.append(lamp);
  }
  return node;
}

function drawQuestion(episode, question, number) {
  const scorers = data.runs[episode.run].scorers;
  const right = !question.missed;
  const node = make("details", { className: "question", open: episode.questions.length <= 3 });
  const mark = make("span", { className: right ? "right" : "wrong", ariaHidden: "true" }, right ? "✓ " : "✗ ");
  const asked = question.text === undefined ? "" : prose(text(question.text));
  node.append(make("summary", {}, mark, make("strong", {}, `Question ${number + 1} `), asked));
  const about = make("dl", {});
  const line = (name, ...content) => about.append(make("dt", {}, name), make("dd", {}, ...content));
  if (question.labels) line("kind", question.labels.join(", "));
  if (question.gold) line("gold", prose(question.gold.map(text).join(" | ")));
  line("answer", prose(text(question.answer) || "(none)"), question.tagged ? "" : make("span", { className: "soft" }, " (without tags)"));
  line("score", chip(right ? "✓ right" : "✗ missed", right ? "ok" : "no"), scorers.map((name, i) => `${name} ${question.scores[i].toFixed(2)}`).join(", "));
  if (question.cause) line("cause", chip(question.cause, "no"));
  node.append(about);
  const facts = make("ul", { className: "facts" });
  for (const fact of question.facts || []) facts.append(make("li", {}, make("span", { className: "soft" }, "gold fact "), prose(text(fact.text)), lamps(fact)));
  if (facts.firstChild) node.append(facts);
  return node;
}

/** Operations in short: C3 R. */
function tally(ops) {
  const counts = Object.entries(data.marks).map(([kind, mark]) => [mark, ops.filter((op) => op.kind === kind).length]);
  return counts.filter(([, count]) => count).map(([mark, count]) => (count > 1 ? mark + count : mark)).join(" ");
}

function open(episode) {
  current = episode;
  episode.ledger ??= ledger(episode);
  $("name").replaceChildren(prose(episode.name));
  const about = [];
  if (data.runs.length > 1) about.push(chip(data.runs[episode.run].label));
  about.push(chip(`ended: ${episode.stop.replaceAll("_", " ")}`, episode.stop === "answered" ? "" : "no"));
  if (text(episode.error)) about.push(prose(text(episode.error), "p"));
  about.push(...episode.questions.map((question, number) => drawQuestion(episode, question, number)));
  $("about").replaceChildren(...about);
  const slider = $("slider");
  slider.min = 0;
  slider.max = Math.max(0, episode.steps.length - 1);
  $("strip").replaceChildren(...episode.steps.map((step, index) => {
    const begins = step.stage > 1 && step.stage !== episode.steps[index - 1].stage ? " begins" : "";
    const refused = step.ops.some((op) => op.outcome !== "ok" && op.outcome !== "noop");
    const wrote = Object.keys(step.changed || {}).some((part) => part !== "query");
    const letters = typeof step.question === "number" ? "?" : tally(step.ops);
    const tick = make("span", { className: (refused ? "refused" : wrote ? "write" : "") + begins, title: title(episode, step) }, letters);
    tick.addEventListener("click", () => go(index));
    return tick;
  }));
}

/** Put a step of an episode in view, and its address in the address bar. */
function show(episode, index) {
  if (episode !== current) open(episode);
  at = Math.max(0, Math.min(index, episode.steps.length - 1));
  const step = episode.steps[at];
  $("steps").replaceChildren(...(step ? [drawStep(episode, at)] : [none("no step was recorded")]));
  const number = step ? step.step : 0;
  $("slider").value = at;
  $("slider").setAttribute("aria-valuetext", step ? title(episode, step) : "");
  $("first").disabled = $("back").disabled = at === 0;
  $("last").disabled = $("forward").disabled = at >= episode.steps.length - 1;
  [...$("strip").children].forEach((tick, i) => tick.classList.toggle("now", i === at));
  for (const lamp of document.querySelectorAll(".lamp[data-step]")) {
    lamp.classList.toggle("lit", Number(lamp.dataset.step) <= number);
  }
  for (const link of $("list").querySelectorAll("a")) {
    if (link.episode === episode) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}
