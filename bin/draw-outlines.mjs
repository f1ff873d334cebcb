// Draws the outlines of the live map once: world (Equal Earth) and Europe (conic conformal), as SVG that pages use.
// Writes include/templates/static/{world,europe}.svg, the numbers of both projections for web/drawing/projections.py,
// and what d3-geo says of some places, which a test compares with ours. `make outlines` installs what it imports.
import { readFileSync, writeFileSync } from "node:fs";
import { geoConicConformal, geoEqualEarth, geoPath } from "d3-geo";
import { feature, mesh } from "topojson-client";

const [root, packages] = process.argv.slice(2);
const atlas = (detail) => JSON.parse(readFileSync(`${packages}/world-atlas/countries-${detail}.json`));
const WIDTH = 960;
const ANTARCTICA = "010";
const SMALLEST = 30; // tenths of a pixel: smaller islands are specks

const equalEarth = geoEqualEarth().rotate([-11, 0]);
const corners = { type: "MultiPoint", coordinates: [[-169, 0], [190, 0], [0, 83.5], [0, -56]] };
const conic = geoConicConformal().parallels([35, 65]).rotate([-14, 0]);
const aroundEurope = { type: "MultiPoint", coordinates: [[-11, 36], [-9, 58], [38, 36], [45, 60], [14, 34], [14, 70.5]] };

const MAPS = {
  world: { projection: equalEarth, detail: "110m", fit: corners },
  europe: { projection: conic, detail: "50m", fit: aroundEurope },
};

// Tenths of a pixel, as whole numbers and as steps from the point before: a third of the size of what d3 writes.
function path(projection, shape) {
  const lines = [];
  const pen = {
    moveTo(x, y) { lines.push({ points: [[x, y]], end: "" }); },
    lineTo(x, y) { lines.at(-1).points.push([x, y]); },
    closePath() { lines.at(-1).end = "z"; },
    beginPath() {}, arc() {},
  };
  geoPath(projection, pen)(shape);
  return lines.map(drawn).join("").replaceAll(" -", "-");
}

function drawn({ points, end }) {
  const tenths = points.map((point) => point.map((n) => Math.round(n * 10)));
  const extent = [0, 1].map((i) => Math.max(...tenths.map((p) => p[i])) - Math.min(...tenths.map((p) => p[i])));
  if (Math.max(...extent) < SMALLEST) return "";
  let [x, y] = tenths[0];
  const steps = [];
  for (const [nx, ny] of tenths.slice(1)) {
    if (nx !== x || ny !== y) steps.push(`${nx - x} ${ny - y}`);
    [x, y] = [nx, ny];
  }
  return `M${tenths[0].join(" ")}l${steps.join(" ")}${end}`;
}

const numbers = {};
for (const [name, { projection, detail, fit }] of Object.entries(MAPS)) {
  projection.fitWidth(WIDTH, fit);
  const [[, top], [, bottom]] = geoPath(projection).bounds(fit);
  const height = Math.ceil(bottom - top);
  projection.clipExtent([[0, 0], [WIDTH, height]]);
  const topology = atlas(detail);
  const countries = topology.objects.countries;
  const shown = { ...countries, geometries: countries.geometries.filter((one) => one.id !== ANTARCTICA) };
  const land = path(projection, { type: "FeatureCollection", features: feature(topology, shown).features });
  const borders = path(projection, mesh(topology, shown, (a, b) => a !== b));
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH * 10} ${height * 10}"><path id="land" d="${land}"/><path id="borders" fill="none" d="${borders}"/></svg>\n`;
  writeFileSync(`${root}/include/templates/static/${name}.svg`, svg);
  numbers[name] = { width: WIDTH, height, scale: projection.scale(), translate: projection.translate() };
}

const places = [];
for (let longitude = -175; longitude <= 175; longitude += 25)
  for (let latitude = -55; latitude <= 75; latitude += 13) places.push([longitude, latitude]);
for (const place of [[6.05, 46.23], [-0.13, 51.5], [24.94, 60.17], [121.6, 25.03], [-3.7, 40.42], [37.62, 55.75]]) places.push(place);
for (const one of Object.values(MAPS)) one.projection.clipExtent(null);
const said = places.map((at) => ({ at, world: equalEarth(at), europe: conic(at) }));
writeFileSync(`${root}/tests/unit/web/d3_geo.json`, `${JSON.stringify({ numbers, said })}\n`);
console.log(JSON.stringify(numbers, null, 1));
