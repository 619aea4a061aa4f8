import { compare, type Figure, groups } from "./figure.ts";
import { factor } from "./table.ts";

const WIDTH = 900;
const NAMES = 430; // pixels for the names, at the left
const LINE = 17;
const HEAD = 46;
const MARGIN = 60; // for the words behind the longest bars

/** As README.md is shown on a light and on a dark ground: the grounds are not ours, so everything has two colours. */
const style = `
  text { font: 12px system-ui, sans-serif; fill: #333 } .group { font-weight: 600 } .faint { fill: #777 } .grid { stroke: #8883 }
  .one { stroke: #555; stroke-width: 1.5 } .better { fill: #1a7f5a } .worse { fill: #c4501b } .goal { stroke: #555; stroke-width: 1.5 }
  text.worse { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd } .faint { fill: #999 } .one, .goal { stroke: #bbb } .better { fill: #4cc79a } .worse { fill: #ff8a50 }
  }`;

/**
 * The ratios to the reference as bars from the line where both are the same, on a logarithmic scale: to the left where podlink is better, to
 * the right, in another colour, where it is worse. A short upright stroke is the goal.
 */
export function chart(figures: readonly Figure[]): string {
  const shown = figures.flatMap((figure) => {
    const ratio = figure.ownMeasure ? undefined : compare(figure)?.ratio;
    return ratio === undefined || !Number.isFinite(ratio) ? [] : [{ ...figure, ratio }];
  });
  const furthest = Math.max(...shown.map(({ ratio }) => Math.abs(Math.log2(ratio))), 2);
  const middle = (NAMES + WIDTH) / 2;
  const octave = (middle - NAMES - MARGIN) / Math.ceil(furthest);
  const x = (ratio: number) => middle + Math.log2(ratio) * octave;
  const parts: string[] = [];
  let y = HEAD;
  for (const group of groups) {
    const some = shown.filter((figure) => figure.group === group);
    if (some.length === 0) continue;
    y += LINE * 1.5;
    parts.push(text({ x: 0, y: y - 5, kind: "group", words: group }));
    for (const { name, ratio, goal } of some) {
      parts.push(
        text({ x: NAMES - 10, y: y + 12, kind: "", words: name, anchor: "end" }),
        bar({ y, ratio, from: middle, to: x(ratio) }),
      );
      if (goal !== undefined) parts.push(`<path class="goal" d="M${round(x(goal))} ${round(y)}v${LINE - 1}"/>`);
      y += LINE;
    }
  }
  const scale = grid({ furthest: Math.ceil(furthest), x, bottom: y });
  const height = Math.ceil(y + 10);
  const title = "Ratios of podlink to the reference";
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${title}">
<style>${style}</style>
${[...scale, ...parts].join("\n")}
</svg>
`;
}

function bar({ y, ratio, from, to }: { y: number; ratio: number; from: number; to: number }): string {
  const worse = ratio > 1;
  const [left, right] = worse ? [from, to] : [to, from];
  const kind = worse ? "worse" : "better";
  const words = worse ? `${factor(ratio)} × worse` : factor(ratio);
  const label = text({ x: worse ? right + 4 : left - 4, y: y + 12, kind, words, anchor: worse ? "start" : "end" });
  return `<rect class="${kind}" x="${round(left)}" y="${round(y + 2)}" width="${round(Math.max(right - left, 1))}" height="${LINE - 5}"/>${label}`;
}

/** Upright lines at the powers of four, and what the two sides mean. */
function grid({ furthest, x, bottom }: { furthest: number; x: (ratio: number) => number; bottom: number }): string[] {
  const lines: string[] = [];
  for (let power = -Math.floor(furthest / 2) * 2; power <= furthest; power += 2) {
    const at = x(2 ** power);
    const words = power < 0 ? `1/${2 ** -power}` : String(2 ** power);
    lines.push(`<path class="${power === 0 ? "one" : "grid"}" d="M${round(at)} ${HEAD}V${round(bottom)}"/>`);
    lines.push(text({ x: at, y: HEAD - 8, kind: "faint", words, anchor: "middle" }));
  }
  lines.push(text({ x: x(1) - 14, y: 16, kind: "better", words: "← podlink is better", anchor: "end" }));
  lines.push(text({ x: x(1) + 14, y: 16, kind: "worse", words: "podlink is worse →" }));
  return lines;
}

function text(options: { x: number; y: number; kind: string; words: string; anchor?: "start" | "middle" | "end" }): string {
  const { x, y, kind, words, anchor = "start" } = options;
  const escaped = words.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${round(x)}" y="${round(y)}" class="${kind}" text-anchor="${anchor}">${escaped}</text>`;
}

function round(pixels: number): string {
  return String(Math.round(pixels * 10) / 10);
}
