"""Texts that would run in a page which takes them for markup, and what tells whether one did.

Each calls ``ran(N)`` in its own way. A name of a file cannot hold a slash, so most do without.
"""

from __future__ import annotations

__all__ = ["FOUND", "NAMES", "TEXTS", "TRAP", "WORDS"]

NAMES = [
    "<img src=x onerror=ran(1)>",
    '"><img src=x onerror=ran(2)>',
    "'><svg onload=ran(3)>",
    "<svg onload=ran(4)>",
    "' onmouseover=ran(5) autofocus onfocus=ran(5) x='",
    '" onmouseover=ran(6) autofocus onfocus=ran(6) x="',
    "<iframe srcdoc='<img src=x onerror=parent.ran(7)>'>",
    "<details open ontoggle=ran(8)>",
    "<style onload=ran(9)>",
    "<body onload=ran(10)>",
    "<input autofocus onfocus=ran(11)>",
    "&lt;img src=x onerror=ran(12)&gt;",
    "&amp;lt;img src=x onerror=ran(13)&amp;gt;",
    "&#60;img src=x onerror=ran(14)&#62;",
    "\\x3cimg src=x onerror=ran(15)\\x3e \\u003cimg src=x onerror=ran(15)\\u003e",
    "![a](x) [b](javascript:ran(16)) <javascript:ran(16)>",
    "`-ran(17)-` ${ran(17)} #{ran(17)} <%= ran(17) %>",
    "{{ran(18)}} {{constructor.constructor('ran(18)')()}} {% ran(18) %}",
    "@{counts}{safe} $x{custom} @$name <img src=x onerror=ran(19)>",
    "$$\\href{javascript:ran(20)}{x}$$",
    "\\(\\unicode{60}img src=x onerror=ran(21)\\)",
    ":material-home: <img src=x onerror=ran(22)> :smile:",
    "javascript:ran(23)",
    "data:text;html,<img src=x onerror=ran(24)>",
    "\u202e<img src=x onerror=ran(25)>\u2066",
    "<img\u200bsrc=x onerror=ran(26)><im\u00adg src=x onerror=ran(26)>",
    "＜img src=x onerror=ran(27)＞",
    "<IMG SRC=x OnErRoR=ran(28)>",
    "<img src=x onerror=ran(29)",
    "<<img src=x onerror=ran(30)>>",
    "<math><mi xlink:href=javascript:ran(31)>x",
    "<select autofocus onfocus=ran(32)><option>",
    "<video><source onerror=ran(33)>",
    "<x onclick=ran(34) style='position:fixed;inset:0'>x",
    "<base href=x><link rel=stylesheet href=x><meta http-equiv=refresh content=0;url=x>",
    "<table background=x><td background=x><object data=x><embed src=x><script src=x>",
]
"""Of files, folders, scans, regions and views: printable or nearly so, and of some 80 letters."""

TEXTS = [
    *NAMES,
    "</script><script>ran(40)</script>",
    "<script>ran(41)</script>",
    "<!--><img src=x onerror=ran(42)>-->",
    "]]><img src=x onerror=ran(43)>",
    '","x":1}</script><img src=x onerror=ran(44)>',
    '<a href="javascript:ran(45)">x</a><a href="data:text/html,<script>ran(45)</script>">y</a>',
    "<svg><animate onbegin=ran(46) attributeName=x dur=1s><image href=x onerror=ran(46) /></svg>",
    '<form action="javascript:ran(47)"><button>x</button></form>',
    "<noscript><p title='</noscript><img src=x onerror=ran(48)>'>",
    "a\r\nContent-Type: text/html\r\n\r\n<img src=x onerror=ran(49)>",
    "\x1b[2J\x07\x9b<img src=x onerror=ran(50)>",
    "<template shadowrootmode=open><img src=x onerror=ran(51)></template>",
]
"""Of attributes, energy windows of a file, and values of an address: any character."""

WORDS = ["onerror=ran", "ran("]
"""That are to be read where one of them stands as text."""

TRAP = """
window.runs = [];
window.ran = (number) => { window.runs.push(number); };
for (const name of ["alert", "confirm", "prompt", "print", "open"])
  window[name] = () => { window.runs.push(name); };
"""
"""Before anything of a page: whatever runs is noted."""

FOUND = """
() => {
  const wrong = [], texts = [];
  const takes = new Set(["src", "href", "xlink:href", "action", "formaction", "data", "srcdoc",
                         "background", "poster"]);
  const look = (root) => {
    for (const el of root.querySelectorAll("*")) {
      const tag = el.tagName.toLowerCase();
      if (tag === "script" && el.type !== "application/json" && el.textContent.includes("ran("))
        wrong.push(`script ${el.textContent.slice(0, 80)}`);
      if (["base", "object", "embed", "noscript"].includes(tag) && root !== document)
        wrong.push(`element ${tag}`);
      if (tag === "meta" && el.httpEquiv === "refresh") wrong.push("refresh");
      for (const {name, value} of el.attributes) {
        if (name.startsWith("on") && value.includes("ran(")) wrong.push(`${tag} ${name}=${value}`);
        if (takes.has(name) && (value === "x" || /^\\s*(javascript|data:text)/i.test(value)))
          wrong.push(`${tag} ${name}=${value}`);
      }
      if (el.shadowRoot) look(el.shadowRoot);
      if (tag === "iframe") {
        wrong.push(`iframe ${el.srcdoc || el.src}`);
        if (el.contentDocument) look(el.contentDocument);
      }
      for (const node of el.childNodes) if (node.nodeType === 3) texts.push(node.data);
      for (const name of ["title", "aria-label", "placeholder", "alt"])
        if (el.hasAttribute(name)) texts.push(el.getAttribute(name));
      if (el.value && typeof el.value === "string") texts.push(el.value);
    }
  };
  look(document);
  const models = (window.Bokeh?.documents ?? []).flatMap((one) => [...one._all_models.values()]);
  const drawn = models.flatMap((m) =>
    m.type === "Figure" ? [m.title?.text] : m.type === "LegendItem" ? [m.label?.value]
    : m.type === "ColumnDataSource" ? [...(m.data.name ?? [])].filter((n) => n?.length) : []);
  for (const text of drawn) {
    if (text && typeof text === "object") wrong.push(`${text.type} ${text.text}`);
    texts.push(String(text));
  }
  // Of these, Bokeh 3.9 has MathJax typeset what stands between such signs as a whole.
  const labels = models.flatMap((m) => m.type === "Title" ? [m.text] : "axis_label" in m
    ? [m.axis_label, ...(m.major_label_overrides?.values() ?? [])] : []);
  for (const text of labels)
    if (/^(\\$\\$|\\\\\\[|\\\\\\()/.test(text) && /ran\\(/.test(text)) wrong.push(`math ${text}`);
  if (/ran\\(/.test(location.href.split("?")[0])) wrong.push(location.href);
  return {runs: window.runs, wrong, text: texts.join("\\n"), title: document.title};
}
"""
"""What was made of the texts, through all shadow roots and frames, and all text to be read."""
