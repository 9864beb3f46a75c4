// Elements made of text alone, whatever the text holds.

function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

/** Text of a model or a task, with what is searched for marked. */
function prose(string, tag = "span") {
  const node = make(tag, { className: "t", dir: "auto" });
  const wanted = $("search").value.trim().toLowerCase();
  const low = string.toLowerCase();
  let from = 0;
  if (wanted && low.length === string.length) {
    for (let hit = low.indexOf(wanted); hit >= 0; hit = low.indexOf(wanted, from)) {
      node.append(string.slice(from, hit), make("mark", {}, string.slice(hit, hit + wanted.length)));
      from = hit + wanted.length;
    }
  }
  node.append(string.slice(from));
  return node;
}

/** What a change of words took away and brought: their longest common subsequence stays. */
function difference(before, after) {
  const a = before.split(/(\s+)/), b = after.split(/(\s+)/);
  const node = make("span", { className: "t", dir: "auto" });
  if (a.length * b.length > 250000) {
    node.append(make("del", {}, before), " ", make("ins", {}, after));
    return node;
  }
  const common = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i][j] = a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  let i = 0, j = 0, gone = "", come = "";
  const flush = () => {
    if (gone) node.append(make("del", {}, gone));
    if (come) node.append(make("ins", {}, come));
    gone = come = "";
  };
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      flush();
      node.append(a[i]);
      i++, j++;
    } else if (j >= b.length || (i < a.length && common[i + 1][j] >= common[i][j + 1])) gone += a[i++];
    else come += b[j++];
  }
  flush();
  return node;
}

// --- the state, from what each step changed

/** Before and after each step: every part of the state, a text or texts by id. What a prompt shows counts as before. */
