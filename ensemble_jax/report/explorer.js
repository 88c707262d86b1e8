// The explorer of a run's report. It reads the data that stand beside it in the page (explorer.py
// says how), keeps one state, and draws every view from it. Whatever text the data hold is set as
// text: nothing here makes markup or code of a string.
"use strict";
(async () => {
  const $ = (id) => document.getElementById(`x-${id}`);
  const facts = JSON.parse($("facts").textContent);
  const arrays = await readArrays($("arrays").textContent, facts.arrays);

  // One run, or two on the same examples, each with extents of its own: of the extents of both the
  // slider chooses one, at which each run is as it was measured last.
  const runs = facts.runs.map((run) => ({
    ...run,
    rows: facts.extents.map((extent) => Math.max(0, run.extents.filter((own) => own <= extent).length - 1)),
  }));
  const numRuns = runs.length;
  const numExtents = facts.extents.length;
  const numExamples = facts.ids.length;
  const numClasses = facts.classes.length; // this number stands for "no label"
  const setOf = new Uint8Array(numExamples);
  facts.sets.reduce((start, set, i) => setOf.fill(i, start, start + set.size) && start + set.size, 0);

  const ROWS = 50, PICTURES = 60, TEXTS = 24;
  const CHOICES = { all: "all", agree: "the label", differ: "another class" };
  // What two runs say of a label; the number of each is made of one bit for each run that is right.
  const BOTH = numRuns < 2 ? [] : ["neither is right", `only ${runs[0].name} is right`, `only ${runs[1].name} is right`, "both are right"];
  BOTH.forEach((name, bits) => { CHOICES[`both${bits}`] = name; });
  const state = {
    extent: numExtents - 1,
    run: 0, // whose votes are meant
    set: -1, label: -1, predicted: -1, choice: "all", search: "",
    properties: new Map(), // by property, the number of its name
    ranges: new Map(), // by column, [least, most]
    region: null, // what was drawn around on the map, 1 for each example
    x: "consensus#0", y: "consistency#0", colour: "correct", mode: "pan", spread: true,
    view: [0, 1, 0, 1],
    histogram: "consistency#0",
    sort: `${facts.begin || "accessibility"}#0`, descending: false,
    tab: facts.begin && (facts.sprites || facts.texts) ? "cards" : "table", page: 0, everything: false,
    point: -1,
  };
  let shown = new Int32Array(0); // the selection, in the order of the table
  const selected = new Uint8Array(numExamples);
  let tally = { right: runs.map(() => 0), labelled: 0 }; // of the selection: right votes, labels

  // ---------------------------------------------------------------------------------- data

  async function readArrays(text, places) {
    const stream = new Blob([fromBase64(text)]).stream();
    const unpacked = stream.pipeThrough(new DecompressionStream("deflate"));
    const buffer = await new Response(unpacked).arrayBuffer();
    const types = {
      uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, int32: Int32Array,
    };
    const read = ({ offset, length, type }) => new types[type](buffer, offset, length);
    return Object.fromEntries(Object.entries(places).map(([name, place]) => [name, read(place)]));
  }

  function fromBase64(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  }

  const atExtent = (name, run = state.run, extent = state.extent) => {
    const row = runs[run].rows[extent];
    return arrays[`${name}#${run}`].subarray(row * numExamples, (row + 1) * numExamples);
  };

  function dequantise(name, { low, high }) {
    const steps = arrays[name], values = new Float32Array(numExamples);
    const step = (high - low) / 65534;
    for (let i = 0; i < numExamples; i++) values[i] = steps[i] === 65535 ? NaN : low + steps[i] * step;
    return values;
  }

  const properties = new Map(facts.properties.map((of) => [of.name, of]));

  // A column of numbers: `at` gives its values at an extent, `moves` says whether they differ. Its
  // key is the name of the score and the number of the run.
  const columns = new Map();
  const named = (title, run) => (numRuns > 1 ? `${title}, ${runs[run].name}` : title);
  function addShare(name, meaning, counted, run, labelled) {
    const { members } = runs[run];
    columns.set(`${name}#${run}`, {
      name, run, title: named(name, run), meaning, moves: true, low: 0, high: 1, step: 1 / members,
      at: memo((extent) => {
        const counts = atExtent(counted, run, extent);
        const values = new Float32Array(numExamples);
        for (let i = 0; i < numExamples; i++) {
          values[i] = labelled && arrays.labels[i] === numClasses ? NaN : counts[i] / members;
        }
        return values;
      }),
      // Of a share of independent members, two of them added to each side (Agresti and Coull, 1998),
      // so that it is not 0 where all agree. The most frequent class is no fixed one: none is known.
      error: (i, value) => {
        if (!labelled) return NaN;
        const share = (value * members + 2) / (members + 4);
        return Math.sqrt((share * (1 - share)) / (members + 4));
      },
    });
  }
  for (let run = 0; run < numRuns; run++) {
    addShare("consistency", "The share of members that are right.", "correct", run, true);
    addShare("consensus", "The share of members that agree on the most frequent class, right or wrong.",
      "votes", run, false);
    for (const { name, title, meaning, values, errors } of facts.scores.filter((score) => score.run === run)) {
      const key = `${name}#${run}`;
      const read = memo(() => dequantise(`values_${key}`, values));
      const readErrors = memo(() => dequantise(`errors_${key}`, errors));
      columns.set(key, {
        name, run, title: named(title, run), meaning, moves: false, low: values.low, high: values.high, step: null,
        at: () => read(0),
        error: (i) => (errors ? readErrors(0)[i] : NaN),
        hasErrors: Boolean(errors),
      });
    }
  }
  if (numRuns > 1) Object.assign(state, { x: "accessibility#0", y: "accessibility#1", colour: "both" });
  if (facts.begin) {
    const of = `${facts.begin}#0`;
    Object.assign(state, { x: of, y: "accessibility#0", histogram: of });
    if (properties.size) state.colour = [...properties.keys()].at(-1);
    state.set = facts.sets.findIndex((set) => set.name === "train");
  }
  if (!columns.has(state.sort)) state.sort = "consensus#0";
  if (!facts.sets.some((set) => set.labelled)) Object.assign(state, { y: "vote_entropy#0", histogram: "consensus#0" });

  function memo(compute) {
    const known = new Map();
    return (argument) => {
      if (!known.has(argument)) known.set(argument, compute(argument));
      return known.get(argument);
    };
  }

  const valuesOf = (key) => columns.get(key).at(state.extent);
  const className = (k) => (k < numClasses ? facts.classes[k] : "");
  const titleOf = (column) => (column.moves ? `${column.title} at epoch ${epoch(column.run)}` : column.title);
  const epoch = (run = state.run, extent = state.extent) => runs[run].extents[runs[run].rows[extent]];
  const ofProperty = (name) => arrays[`property_${name}`];
  const property = (of, i) => of.names[ofProperty(of.name)[i]] ?? "";
  // For each example a bit for each run whose vote is right.
  const rightIn = memo((extent) => {
    const bits = new Uint8Array(numExamples);
    for (let run = 0; run < numRuns; run++) {
      const votes = atExtent("predicted", run, extent);
      for (let i = 0; i < numExamples; i++) if (votes[i] === arrays.labels[i]) bits[i] |= 1 << run;
    }
    return bits;
  });
  const count = (number) => number.toLocaleString("en");
  const number = (value) => (Number.isNaN(value) ? "" : value.toFixed(3));

  // ------------------------------------------------------------------------- selecting, sorting

  const permutation = memo((key) => {
    const [name, extent, run] = key.split("@");
    const order = Int32Array.from({ length: numExamples }, (_, i) => i);
    if (name === "id") {
      const ids = facts.ids.every((id) => typeof id === "number") ? facts.ids : facts.ids.map(String);
      return order.sort((a, b) => (ids[a] < ids[b] ? -1 : ids[a] > ids[b] ? 1 : a - b));
    }
    const values =
      name === "set" ? setOf
      : name === "label" ? arrays.labels
      : name === "predicted" ? atExtent("predicted", Number(run), Number(extent))
      : properties.has(name) ? ofProperty(name)
      : columns.get(name).at(Number(extent));
    return order.sort((a, b) => rank(values[a]) - rank(values[b]) || a - b);
  });
  const searched = facts.ids.map((id) => String(id).toLowerCase());
  const rank = (value) => (Number.isNaN(value) ? 1e30 : value);

  function select() {
    const { set, label, predicted, choice, region } = state;
    const ofVotes = atExtent("predicted"), labels = arrays.labels;
    const search = state.search.trim().toLowerCase();
    const chosen = [...state.properties].map(([name, code]) => [ofProperty(name), code]);
    const bits = rightIn(state.extent), both = choice.startsWith("both") ? Number(choice.slice(4)) : -1;
    const ranges = [...state.ranges].map(([key, [least, most]]) => [valuesOf(key), least, most]);
    for (let i = 0; i < numExamples; i++) {
      let kept =
        (set < 0 || setOf[i] === set) &&
        (label < 0 || labels[i] === label) &&
        (predicted < 0 || ofVotes[i] === predicted) &&
        (choice === "all" || (labels[i] < numClasses &&
          (both >= 0 ? bits[i] === both : (ofVotes[i] === labels[i]) === (choice === "agree")))) &&
        (region === null || region[i] === 1);
      for (let c = 0; kept && c < chosen.length; c++) kept = chosen[c][0][i] === chosen[c][1];
      for (let r = 0; kept && r < ranges.length; r++) {
        const [values, least, most] = ranges[r];
        kept = values[i] >= least && values[i] <= most;
      }
      if (kept && search) kept = searched[i].includes(search);
      selected[i] = kept ? 1 : 0;
    }
    const moves = state.sort === "predicted" || columns.get(state.sort)?.moves;
    const order = permutation(`${state.sort}@${moves ? state.extent : 0}@${state.run}`);
    const found = new Int32Array(numExamples);
    let size = 0;
    tally = { right: runs.map(() => 0), labelled: 0 };
    for (let i = 0; i < numExamples; i++) {
      const example = order[state.descending ? numExamples - 1 - i : i];
      if (!selected[example]) continue;
      found[size++] = example;
      if (labels[example] < numClasses) {
        tally.labelled++;
        for (let run = 0; run < numRuns; run++) tally.right[run] += (bits[example] >> run) & 1;
      }
    }
    shown = found.subarray(0, size);
  }

  // ------------------------------------------------------------------------------- colours

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const parse = memo((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  const RIGHT = "#2f83c5", WRONG = "#e07b16", NEITHER = "#8b95a3";
  const TEN = ["#3f7fc1", "#e98b2a", "#4da35a", "#d6504d", "#8e6fc4", "#9a6b57", "#d776b4", "#7f8894",
    "#a9a52e", "#2fa9b8"];
  const SCALE = ["#5533c4", "#8a35b8", "#c0427f", "#e2693f", "#efa71f"];

  function classColours() {
    if (numClasses <= TEN.length) return TEN.slice(0, numClasses);
    return facts.classes.map((_, k) => {
      // Golden angles: neighbours differ, whatever their number.
      const hue = (k * 137.508) % 360, light = [46, 60, 53][k % 3];
      return hexOfHue(hue, 0.6, light / 100);
    });
  }

  function hexOfHue(hue, saturation, light) {
    const channel = (n) => {
      const k = (n + hue / 30) % 12;
      const value = light - saturation * Math.min(light, 1 - light) * Math.max(-1, Math.min(k - 3, 9 - k, 1));
      return Math.round(255 * value).toString(16).padStart(2, "0");
    };
    return `#${channel(0)}${channel(8)}${channel(4)}`;
  }

  function scaleColour(share) {
    const place = Math.min(0.9999, Math.max(0, share)) * (SCALE.length - 1);
    const [from, to] = [parse(SCALE[Math.floor(place)]), parse(SCALE[Math.floor(place) + 1])];
    const part = place % 1;
    return `#${from.map((c, i) => Math.round(c + part * (to[i] - c)).toString(16).padStart(2, "0")).join("")}`;
  }

  // The colours, the number of its colour for each example, and the legend's entries.
  function colouring() {
    const codes = new Uint16Array(numExamples);
    const { colour } = state;
    if (columns.has(colour)) {
      const column = columns.get(colour), values = valuesOf(colour), steps = 64;
      for (let i = 0; i < numExamples; i++) {
        const share = (values[i] - column.low) / (column.high - column.low || 1);
        codes[i] = Number.isNaN(share) ? steps : Math.round(share * (steps - 1));
      }
      const colours = Array.from({ length: steps }, (_, s) => scaleColour(s / (steps - 1)));
      const stops = [0, 0.25, 0.5, 0.75, 1];
      const legend = stops.map((stop) => [
        scaleColour(stop), number(column.low + stop * (column.high - column.low)),
      ]);
      return { codes, colours: [...colours, NEITHER], legend };
    }
    if (colour === "set") {
      codes.set(setOf);
      const colours = facts.sets.map((_, s) => TEN[s % TEN.length]);
      return { codes, colours, legend: facts.sets.map((set, s) => [colours[s], set.name]) };
    }
    if (properties.has(colour)) {
      const of = properties.get(colour);
      codes.set(ofProperty(colour));
      const colours = of.names.length === numClasses ? classColours() : of.names.map((_, k) => TEN[k % TEN.length]);
      const legend = legendOf(of.names, colours);
      if (codes.includes(of.names.length)) legend.push([NEITHER, "not known"]);
      return { codes, colours: [...colours, NEITHER], legend };
    }
    if (colour === "both") {
      const bits = rightIn(state.extent);
      for (let i = 0; i < numExamples; i++) codes[i] = arrays.labels[i] === numClasses ? 4 : bits[i];
      const colours = [WRONG, TEN[4], TEN[2], RIGHT];
      return { codes, colours: [...colours, NEITHER], legend: BOTH.map((name, b) => [colours[b], name]) };
    }
    if (colour === "correct") {
      const ofVotes = atExtent("predicted");
      for (let i = 0; i < numExamples; i++) {
        codes[i] = arrays.labels[i] === numClasses ? 2 : ofVotes[i] === arrays.labels[i] ? 0 : 1;
      }
      const legend = [[RIGHT, "vote right"], [WRONG, "vote wrong"]];
      if (facts.sets.some((set) => !set.labelled)) legend.push([NEITHER, "no label"]);
      return { codes, colours: [RIGHT, WRONG, NEITHER], legend };
    }
    codes.set(colour === "label" ? arrays.labels : atExtent("predicted"));
    const colours = classColours();
    return { codes, colours: [...colours, NEITHER], legend: legendOf(facts.classes, colours) };
  }

  function legendOf(names, colours) {
    const most = 20;
    const legend = names.slice(0, most).map((name, k) => [colours[k], name]);
    if (names.length > most) legend.push([null, `and ${names.length - most} more`]);
    return legend;
  }

  // -------------------------------------------------------------------------------- the map

  const map = $("map"), mapContext = map.getContext("2d");
  const bars = $("histogram"), barsContext = bars.getContext("2d");
  const LEFT = 46, BOTTOM = 40, TOP = 10, RIGHT_EDGE = 12;

  // The sizes of both drawings, measured when they change alone: to ask for them lays out the page.
  const sizes = new Map();
  function measure() {
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    for (const canvas of [map, bars]) {
      const { clientWidth: width, clientHeight: height } = canvas;
      sizes.set(canvas, { ratio, width, height });
      canvas.width = Math.max(1, Math.round(width * ratio));
      canvas.height = Math.max(1, Math.round(height * ratio));
    }
  }

  // Examples of equal scores lie on each other: each is moved by less than half a step.
  const jitter = [0, 1].map((axis) => {
    const moves = new Float32Array(numExamples);
    for (let i = 0; i < numExamples; i++) {
      let hash = Math.imul(i + 1, axis ? 0x9e3779b1 : 0x85ebca6b);
      hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
      moves[i] = ((hash ^ (hash >>> 13)) >>> 0) / 2 ** 32 - 0.5;
    }
    return moves;
  });

  const stepOf = memo((key) => {
    const column = columns.get(key);
    if (column.step !== null) return column.step;
    const values = [...new Set(column.at(0))].filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
    if (values.length < 2 || values.length > 200) return 0;
    const least = (column.high - column.low) / 1000;
    return values.slice(1).reduce((step, value, i) => {
      const gap = value - values[i];
      return gap > least && gap < step ? gap : step;
    }, Infinity);
  });

  // Places in [0, 1] along an axis, with a margin.
  const placesOf = memo((key) => {
    const [name, extent, axis, spread] = key.split("@");
    const column = columns.get(name), values = column.at(Number(extent));
    const margin = Math.max(0.03 * (column.high - column.low || 1), spread === "true" ? 0.45 * stepOf(name) : 0);
    const low = column.low - margin, scale = 1 / (column.high - column.low + 2 * margin);
    const move = spread === "true" && stepOf(name) !== Infinity ? 0.7 * stepOf(name) * scale : 0;
    const places = new Float32Array(numExamples);
    for (let i = 0; i < numExamples; i++) places[i] = (values[i] - low) * scale + move * jitter[axis][i];
    return { places, low, high: low + 1 / scale };
  });
  const axisOf = (key, axis) =>
    placesOf(`${key}@${columns.get(key).moves ? state.extent : 0}@${axis}@${state.spread}`);

  function mapFrame() {
    const { ratio, width, height } = sizes.get(map);
    const [x0, x1, y0, y1] = state.view;
    const across = (width - LEFT - RIGHT_EDGE) / (x1 - x0), down = (height - TOP - BOTTOM) / (y1 - y0);
    return {
      ratio, width, height,
      toX: (place) => LEFT + (place - x0) * across,
      toY: (place) => height - BOTTOM - (place - y0) * down,
      fromX: (x) => x0 + (x - LEFT) / across,
      fromY: (y) => y0 + (height - BOTTOM - y) / down,
    };
  }

  function drawMap() {
    const frame = mapFrame(), { ratio, width, height } = frame;
    if (width < 2) return;
    const xs = axisOf(state.x, 0), ys = axisOf(state.y, 1);
    const { codes, colours, legend } = colouring();
    const image = mapContext.createImageData(map.width, map.height);
    const zoom = 1 / (state.view[1] - state.view[0]);
    const size = numExamples < 600 ? 4.5 : numExamples < 6000 ? 3 : numExamples < 30000 ? 2 : 1.5;
    const opacity = numExamples < 600 ? 0.85 : numExamples < 6000 ? 0.7 : 0.45;
    const disc = discOf(size * ratio * Math.min(2, Math.sqrt(zoom)), map.width);
    const rgb = [...colours, css("--faint")].flatMap((colour) => parse(colour));
    const quiet = colours.length;
    const part = shown.length < numExamples;
    const box = [LEFT, TOP, width - RIGHT_EDGE, height - BOTTOM].map((edge) => Math.round(edge * ratio));
    // Both axes are linear: two places give the pixels of all.
    const acrossFrom = frame.toX(0) * ratio + 0.5, across = (frame.toX(1) - frame.toX(0)) * ratio;
    const upFrom = frame.toY(0) * ratio + 0.5, up = (frame.toY(1) - frame.toY(0)) * ratio;
    const layer = (ofSelected, alpha) => {
      const px = xs.places, py = ys.places;
      for (let i = 0; i < numExamples; i++) {
        if (selected[i] !== ofSelected) continue;
        const x = Math.floor(acrossFrom + px[i] * across), y = Math.floor(upFrom + py[i] * up);
        if (x >= box[0] && x < box[2] && y >= box[1] && y < box[3]) {
          const c = 3 * (ofSelected ? codes[i] : quiet);
          splat(image, disc, x, y, rgb[c], rgb[c + 1], rgb[c + 2], alpha);
        }
      }
    };
    // In the order of the data, so that a point stays above or below another.
    if (part) layer(0, 80);
    layer(1, Math.min(256, Math.round(256 * (part ? opacity + 0.2 : opacity))));
    mapContext.putImageData(image, 0, 0);
    mapContext.setTransform(ratio, 0, 0, ratio, 0, 0);
    drawAxis(mapContext, frame, "x", [xs.low, xs.high], titleOf(columns.get(state.x)));
    drawAxis(mapContext, frame, "y", [ys.low, ys.high], titleOf(columns.get(state.y)));
    if (state.point >= 0) {
      mapContext.strokeStyle = css("--ink");
      mapContext.lineWidth = 2;
      mapContext.beginPath();
      mapContext.arc(frame.toX(xs.places[state.point]), frame.toY(ys.places[state.point]), size + 5, 0, 7);
      mapContext.stroke();
    }
    if (drawn.length > 1) {
      mapContext.strokeStyle = css("--accent");
      mapContext.lineWidth = 1.5;
      mapContext.setLineDash([5, 4]);
      mapContext.beginPath();
      for (const [x, y] of outline()) mapContext.lineTo(x, y);
      mapContext.closePath();
      mapContext.stroke();
      mapContext.setLineDash([]);
    }
    showLegend(legend);
    map.setAttribute("aria-label",
      `Map of ${count(shown.length)} selected of ${count(numExamples)} examples: ` +
      `${titleOf(columns.get(state.x))} across, ${titleOf(columns.get(state.y))} upwards. ` +
      "Arrow keys move it, plus and minus zoom, 0 shows all; n and p go through the selected examples.");
  }

  // Offsets of the pixels of a disc in an image of some width.
  function discOf(radius, width) {
    const reach = Math.ceil(radius), offsets = [];
    for (let y = -reach; y <= reach; y++) {
      for (let x = -reach; x <= reach; x++) {
        // A little more than the radius: without it whole radii have spikes.
        if (x * x + y * y <= radius * (radius + 0.6)) offsets.push(x, (y * width + x) * 4);
      }
    }
    return { offsets: Int32Array.from(offsets), width };
  }

  // Lay a colour over a disc of pixels; `alpha` is 256 where it hides what is below.
  function splat(image, { offsets, width }, x, y, red, green, blue, alpha) {
    const data = image.data, size = data.length, at = (y * width + x) * 4;
    for (let o = 0; o < offsets.length; o += 2) {
      const across = x + offsets[o], p = at + offsets[o + 1];
      if (across < 0 || across >= width || p < 0 || p >= size) continue;
      const below = data[p + 3];
      if (below === 0) {
        data[p] = red;
        data[p + 1] = green;
        data[p + 2] = blue;
        data[p + 3] = alpha === 256 ? 255 : alpha;
        continue;
      }
      // The share of the new colour in what is seen.
      const over = below + ((255 - below) * alpha >> 8), share = (alpha * 255 / over) | 0;
      const part = share > 256 ? 256 : share;
      data[p] += ((red - data[p]) * part) >> 8;
      data[p + 1] += ((green - data[p + 1]) * part) >> 8;
      data[p + 2] += ((blue - data[p + 2]) * part) >> 8;
      data[p + 3] = over;
    }
  }

  function ticks(low, high, most) {
    const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((width) => width >= rough);
    const found = [];
    for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step) {
      found.push(Math.abs(value) < step * 1e-6 ? 0 : value);
    }
    return found.map((value) => [value, value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)))]);
  }

  function drawAxis(context, frame, axis, [low, high], title) {
    const { width, height } = frame, along = axis === "x";
    const from = along ? frame.fromX(LEFT) : frame.fromY(height - BOTTOM);
    const to = along ? frame.fromX(width - RIGHT_EDGE) : frame.fromY(TOP);
    const value = (place) => low + place * (high - low);
    context.font = `12px ${css("--sans")}`;
    context.strokeStyle = css("--line");
    context.fillStyle = css("--quiet");
    context.lineWidth = 1;
    context.textAlign = along ? "center" : "right";
    context.textBaseline = along ? "top" : "middle";
    for (const [tick, text] of ticks(value(from), value(to), along ? width / 75 : height / 60)) {
      const place = (tick - low) / (high - low);
      const x = along ? Math.round(frame.toX(place)) + 0.5 : LEFT;
      const y = along ? height - BOTTOM : Math.round(frame.toY(place)) + 0.5;
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(along ? x : LEFT - 5, along ? y + 5 : y);
      context.stroke();
      context.fillText(text, along ? x : x - 8, along ? y + 8 : y);
    }
    context.beginPath();
    context.moveTo(LEFT - 0.5, TOP);
    context.lineTo(LEFT - 0.5, height - BOTTOM + 0.5);
    context.lineTo(width - RIGHT_EDGE, height - BOTTOM + 0.5);
    context.stroke();
    context.fillStyle = css("--ink");
    context.textAlign = "center";
    if (along) {
      context.fillText(title, (LEFT + width - RIGHT_EDGE) / 2, height - 16);
    } else {
      context.save();
      context.translate(9, (TOP + height - BOTTOM) / 2);
      context.rotate(-Math.PI / 2);
      context.fillText(title, 0, 0);
      context.restore();
    }
  }

  function showLegend(entries) {
    $("legend").replaceChildren(...entries.map(([colour, name]) => {
      const entry = element("li", {}, name);
      if (colour) {
        const swatch = element("span", { class: "x-swatch" });
        swatch.style.background = colour;
        entry.prepend(swatch);
      }
      return entry;
    }));
  }

  function nearest(x, y, reach) {
    const frame = mapFrame(), xs = axisOf(state.x, 0).places, ys = axisOf(state.y, 1).places;
    let found = -1, least = reach * reach;
    for (let i = 0; i < numExamples; i++) {
      if (!selected[i]) continue;
      const dx = frame.toX(xs[i]) - x, dy = frame.toY(ys[i]) - y, distance = dx * dx + dy * dy;
      if (distance < least) [found, least] = [i, distance];
    }
    return found;
  }

  // What is being drawn around: corners, or the two of a rectangle.
  let drawn = [], dragged = null, hovered = -1;
  const outline = () => {
    if (state.mode === "lasso") return drawn;
    const [[x0, y0], [x1, y1]] = [drawn[0], drawn[drawn.length - 1]];
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
  };

  function inside(polygon, x, y) {
    let odd = false;
    for (let a = 0, b = polygon.length - 1; a < polygon.length; b = a++) {
      const [ax, ay] = polygon[a], [bx, by] = polygon[b];
      if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
    }
    return odd;
  }

  function selectRegion(add) {
    const frame = mapFrame(), polygon = outline();
    const xs = axisOf(state.x, 0).places, ys = axisOf(state.y, 1).places;
    const region = add && state.region ? state.region.slice() : new Uint8Array(numExamples);
    for (let i = 0; i < numExamples; i++) {
      if (inside(polygon, frame.toX(xs[i]), frame.toY(ys[i]))) region[i] = 1;
    }
    state.region = region;
  }

  const position = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  function zoomAt(factor, px, py) {
    const frame = mapFrame(), [x0, x1, y0, y1] = state.view;
    const width = Math.min(1, (x1 - x0) / factor), height = Math.min(1, (y1 - y0) / factor);
    if (width < 1e-3) return;
    const cx = frame.fromX(px), cy = frame.fromY(py);
    const left = cx - ((cx - x0) / (x1 - x0)) * width, low = cy - ((cy - y0) / (y1 - y0)) * height;
    moveTo(left, low, width, height);
  }

  function moveTo(left, low, width, height) {
    const x0 = Math.min(1 - width, Math.max(0, left)), y0 = Math.min(1 - height, Math.max(0, low));
    state.view = [x0, x0 + width, y0, y0 + height];
    soon(drawMap);
  }

  const move = (dx, dy) => {
    const [x0, x1, y0, y1] = state.view;
    moveTo(x0 + dx * (x1 - x0), y0 + dy * (y1 - y0), x1 - x0, y1 - y0);
  };
  const zoomMiddle = (factor) => zoomAt(factor, map.clientWidth / 2, map.clientHeight / 2);

  map.addEventListener("pointerdown", (event) => {
    map.setPointerCapture(event.pointerId);
    dragged = { from: position(event), view: state.view, moved: false };
    drawn = state.mode === "pan" ? [] : [dragged.from];
  });
  map.addEventListener("pointermove", (event) => {
    const [x, y] = position(event);
    if (!dragged) {
      const found = nearest(x, y, 12);
      if (found !== hovered) hint(found, x, y);
      return;
    }
    dragged.moved ||= Math.hypot(x - dragged.from[0], y - dragged.from[1]) > 4;
    if (!dragged.moved) return;
    hint(-1);
    if (state.mode === "pan") {
      const [x0, x1, y0, y1] = dragged.view;
      const across = ((x - dragged.from[0]) / (map.clientWidth - LEFT - RIGHT_EDGE)) * (x1 - x0);
      const up = ((y - dragged.from[1]) / (map.clientHeight - TOP - BOTTOM)) * (y1 - y0);
      moveTo(x0 - across, y0 + up, x1 - x0, y1 - y0);
    } else {
      drawn.push([x, y]);
      soon(drawMap);
    }
  });
  map.addEventListener("pointerup", (event) => {
    if (!dragged) return;
    const { moved } = dragged;
    dragged = null;
    if (!moved) {
      drawn = [];
      look(nearest(...position(event), 14));
    } else if (state.mode !== "pan") {
      selectRegion(event.shiftKey);
      drawn = [];
      changed();
    }
  });
  map.addEventListener("pointercancel", () => { dragged = null; drawn = []; soon(drawMap); });
  map.addEventListener("pointerleave", () => hint(-1));
  map.addEventListener("wheel", (event) => {
    // Without a key the page scrolls.
    if (!(event.ctrlKey || event.metaKey || document.activeElement === map)) return;
    event.preventDefault();
    zoomAt(Math.exp(-event.deltaY / 300), ...position(event));
  }, { passive: false });
  map.addEventListener("dblclick", (event) => zoomAt(2, ...position(event)));
  map.addEventListener("keydown", (event) => {
    const actions = {
      ArrowLeft: () => move(-0.15, 0), ArrowRight: () => move(0.15, 0),
      ArrowUp: () => move(0, 0.15), ArrowDown: () => move(0, -0.15),
      "+": () => zoomMiddle(1.4), "=": () => zoomMiddle(1.4), "-": () => zoomMiddle(1 / 1.4),
      0: () => moveTo(0, 0, 1, 1), n: () => step(1), p: () => step(-1),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });

  function step(by) {
    if (!shown.length) return;
    const at = shown.indexOf(state.point);
    look(shown[at < 0 ? 0 : (at + by + shown.length) % shown.length]);
  }

  function hint(i, x, y) {
    hovered = i;
    const box = $("hint");
    box.hidden = i < 0;
    if (i < 0) return;
    const label = className(arrays.labels[i]) || facts.sets[setOf[i]].name;
    box.replaceChildren(
      ...(hasPicture(i) ? [picture(i, 64)] : []),
      element("span", {}, `${label}; id ${facts.ids[i]}`),
      ...runs.map((_, run) => element("span", {}, saying(i, run))),
    );
    const right = x > map.clientWidth / 2, low = y > map.clientHeight / 2;
    box.style.left = right ? "" : `${x + 14}px`;
    box.style.right = right ? `${map.clientWidth - x + 14}px` : "";
    box.style.top = low ? "" : `${y + 14}px`;
    box.style.bottom = low ? `${map.clientHeight - y + 14}px` : "";
  }

  function saying(i, run) {
    const { members, name } = runs[run];
    return `${atExtent("votes", run)[i]} of ${members}${numRuns > 1 ? ` of ${name}` : ""} say ` +
      className(atExtent("predicted", run)[i]);
  }

  // ------------------------------------------------------------------------------ histogram

  let brush = null;

  function binning(key) {
    const column = columns.get(key);
    const { members } = runs[column.run];
    const byValue = column.step !== null && members <= 40;
    const bins = byValue ? members + 1 : 40;
    const half = byValue ? column.step / 2 : 0;
    const low = column.low - half, high = Math.max(column.high + half, low + 1e-9);
    const at = (value) => Math.min(bins - 1, Math.max(0, Math.floor(((value - low) / (high - low)) * bins)));
    return { bins, low, high, at };
  }

  function drawHistogram() {
    const { ratio, width, height } = sizes.get(bars);
    if (width < 2) return;
    const key = state.histogram, column = columns.get(key), values = valuesOf(key);
    const { bins, low, high, at } = binning(key);
    const all = new Uint32Array(bins), own = new Uint32Array(bins);
    for (let i = 0; i < numExamples; i++) {
      if (Number.isNaN(values[i])) continue;
      const bin = at(values[i]);
      all[bin]++;
      own[bin] += selected[i];
    }
    const top = Math.max(1, ...all), context = barsContext;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const place = (width - LEFT - RIGHT_EDGE) / bins, room = height - TOP - BOTTOM;
    const tall = (counts, bin) => (counts[bin] ? Math.max(2, (counts[bin] / top) * room) : 0);
    for (const [counts, colour] of [[all, css("--share")], [own, css("--accent")]]) {
      context.fillStyle = colour;
      for (let bin = 0; bin < bins; bin++) {
        const h = tall(counts, bin);
        context.fillRect(LEFT + bin * place + 0.5, height - BOTTOM - h, Math.max(1, place - 1), h);
      }
    }
    const range = brush || state.ranges.get(key);
    const toX = (share) => LEFT + share * (width - LEFT - RIGHT_EDGE);
    if (range) {
      const edges = range.map((value) => toX(Math.min(1, Math.max(0, (value - low) / (high - low)))));
      context.strokeStyle = css("--ink");
      context.lineWidth = 1.5;
      context.strokeRect(edges[0], TOP, Math.max(1, edges[1] - edges[0]), room);
    }
    const frame = {
      width, height, toX, toY: (share) => height - BOTTOM - share * room,
      fromX: (x) => (x - LEFT) / (width - LEFT - RIGHT_EDGE),
      fromY: (y) => (height - BOTTOM - y) / room,
    };
    drawAxis(context, frame, "x", [low, high], titleOf(column));
    drawAxis(context, frame, "y", [0, top], "");
    const described = Array.from(own, (size, bin) =>
      size ? `${number(low + (bin * (high - low)) / bins)} and more: ${count(size)}` : "");
    bars.setAttribute("aria-label",
      `Histogram of the selected examples by ${titleOf(column)}. ${described.filter(Boolean).join("; ")}`);
  }

  const barsValue = (event) => {
    const { low, high } = binning(state.histogram), [x] = position(event);
    const share = Math.min(1, Math.max(0, (x - LEFT) / (bars.clientWidth - LEFT - RIGHT_EDGE)));
    return low + share * (high - low);
  };
  bars.addEventListener("pointerdown", (event) => {
    bars.setPointerCapture(event.pointerId);
    const value = barsValue(event);
    brush = [value, value];
    brush.from = value;
  });
  bars.addEventListener("pointermove", (event) => {
    if (!brush) return;
    const value = barsValue(event), { from } = brush;
    brush = [Math.min(from, value), Math.max(from, value)];
    brush.from = from;
    soon(drawHistogram);
  });
  bars.addEventListener("pointerup", () => {
    if (!brush) return;
    const [least, most] = brush, { low, high, bins } = binning(state.histogram);
    brush = null;
    if (most - least < (high - low) / bins / 4) state.ranges.delete(state.histogram);
    else state.ranges.set(state.histogram, [least, most]);
    changed();
  });
  bars.addEventListener("pointercancel", () => { brush = null; soon(drawHistogram); });

  // ------------------------------------------------------------------------- pictures, texts

  const sheetUrl = memo((sheet) => {
    const holder = $(`sheet-${sheet}`);
    return URL.createObjectURL(new Blob([fromBase64(holder.textContent)], { type: holder.type }));
  });
  const hasPicture = (i) => facts.sprites !== null && arrays.cells[i] >= 0;
  const describe = (i) => {
    const label = className(arrays.labels[i]);
    return `${label ? `${label}, ` : ""}id ${facts.ids[i]}, taken for ${className(atExtent("predicted")[i])}`;
  };

  function picture(i, side) {
    const { width, height, columns: across, rows } = facts.sprites;
    const cell = arrays.cells[i], onSheet = cell % (across * rows);
    const scale = side / Math.max(width, height);
    const shape = element("span", { class: "x-picture", role: "img", "aria-label": describe(i) });
    Object.assign(shape.style, {
      width: `${width * scale}px`,
      height: `${height * scale}px`,
      backgroundImage: `url(${sheetUrl(Math.floor(cell / (across * rows)))})`,
      backgroundSize: `${across * width * scale}px auto`,
      backgroundPosition:
        `${-(onSheet % across) * width * scale}px ${-Math.floor(onSheet / across) * height * scale}px`,
      imageRendering: scale > 1.5 ? "pixelated" : "auto",
    });
    return shape;
  }

  // ---------------------------------------------------------------------------- table, cards

  function element(name, attributes = {}, ...content) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...content);
    return made;
  }

  // What the table has: all scores, or those that a view or a filter uses and the usual ones.
  function tableColumns() {
    const used = new Set([state.x, state.y, state.colour, state.histogram, state.sort, ...state.ranges.keys()]);
    for (let run = 0; run < numRuns; run++) {
      for (const name of ["consistency", "accessibility", facts.begin]) used.add(`${name}#${run}`);
    }
    const scores = [...columns].filter(([key]) => state.everything || used.has(key));
    return [
      ["id", "id"], ["set", "set"], ["label", "label"], ["predicted", named("vote", state.run)],
      ...facts.properties.map(({ name, title }) => [name, title]),
      ...scores.map(([key, { title }]) => [key, title]),
    ];
  }

  function showTable() {
    const listed = tableColumns();
    const start = state.page * ROWS, rows = shown.subarray(start, start + ROWS);
    const ofVotes = atExtent("predicted");
    $("columns").replaceChildren(...listed.map(([key, title]) => {
      const sorted = state.sort === key;
      const button = element("button", { type: "button" }, title, sorted ? (state.descending ? " ▾" : " ▴") : "");
      button.title = columns.get(key)?.meaning ?? "";
      button.addEventListener("click", () => {
        Object.assign(state, { descending: sorted && !state.descending, sort: key, page: 0 });
        changed();
        $("columns").children[listed.findIndex(([of]) => of === key)].firstChild.focus();
      });
      const order = sorted ? (state.descending ? "descending" : "ascending") : "none";
      return element("th", { scope: "col", "aria-sort": order, ...(columns.has(key) ? { class: "x-number" } : {}) }, button);
    }));
    $("rows").replaceChildren(...Array.from(rows, (i) => {
      const open = element("button", { type: "button", "aria-label": `Look at id ${facts.ids[i]}` }, String(facts.ids[i]));
      const head = element("th", { scope: "row" }, open);
      if (hasPicture(i)) head.prepend(picture(i, 28));
      const row = element("tr", i === state.point ? { "aria-selected": "true" } : {}, head);
      row.append(element("td", {}, facts.sets[setOf[i]].name), element("td", {}, className(arrays.labels[i])));
      const differs = arrays.labels[i] < numClasses && ofVotes[i] !== arrays.labels[i];
      row.append(element("td", differs ? { class: "x-differs" } : {}, className(ofVotes[i])));
      for (const of of facts.properties) row.append(element("td", {}, property(of, i)));
      for (const [key] of listed) {
        if (columns.has(key)) row.append(element("td", { class: "x-number" }, number(valuesOf(key)[i])));
      }
      row.addEventListener("click", () => lookFromList(i));
      return row;
    }));
    showPager(ROWS, rows.length);
  }

  function showCards() {
    const size = facts.texts ? TEXTS : PICTURES;
    const start = state.page * size, cards = shown.subarray(start, start + size);
    $("cards").classList.toggle("x-texts", facts.texts !== null);
    $("cards").replaceChildren(...Array.from(cards, (i) => {
      const button = element("button", { type: "button" });
      if (facts.texts) button.append(element("span", { class: "x-text" }, facts.texts[i] || "(no text here)"));
      else if (hasPicture(i)) button.append(picture(i, 88));
      else button.append(element("span", { class: "x-missing" }, "no picture here"));
      const label = className(arrays.labels[i]), taken = className(atExtent("predicted")[i]);
      button.append(element("span", {}, label || facts.sets[setOf[i]].name));
      if (label !== taken) button.append(element("span", { class: "x-differs" }, `vote: ${taken}`));
      // Of what is no class the last property says most; its first name is that of what is in order.
      const of = facts.properties.filter(({ name }) => !name.endsWith("_label") || name === "given_label").at(-1);
      const told = of && property(of, i);
      if (told && told !== of.names[0]) button.append(element("span", {}, `${of.title}: ${told}`));
      button.addEventListener("click", () => lookFromList(i));
      return element("li", {}, button);
    }));
    showPager(size, cards.length);
  }

  function showPager(size, here) {
    const start = state.page * size;
    $("pages").textContent = here
      ? `${count(start + 1)} to ${count(start + here)} of ${count(shown.length)}` : "nothing selected";
    $("previous").disabled = state.page === 0;
    $("next").disabled = start + here >= shown.length;
  }

  const showList = () => {
    $("table").hidden = state.tab !== "table";
    $("cards").hidden = state.tab !== "cards";
    $("everything").parentElement.hidden = state.tab !== "table";
    for (const tab of ["table", "cards"]) {
      $(`tab-${tab}`).setAttribute("aria-selected", String(state.tab === tab));
      $(`tab-${tab}`).tabIndex = state.tab === tab ? 0 : -1;
    }
    if (state.tab === "table") showTable();
    else showCards();
  };

  // --------------------------------------------------------------------------------- a point

  function look(i) {
    if (i < 0) return;
    state.point = i;
    soon(drawMap);
    showPoint();
    showList();
  }

  // Below the views, what was chosen would be shown out of sight.
  function lookFromList(i) {
    look(i);
    const panel = $("point").parentElement, { top, bottom } = panel.getBoundingClientRect();
    if (bottom < 160 || top > innerHeight - 160) panel.scrollIntoView({ block: "start" });
  }

  function showPoint() {
    const i = state.point, box = $("point");
    if (i < 0) return;
    const label = className(arrays.labels[i]);
    const top = hasPicture(i) ? [picture(i, 144)] : [];
    if (facts.texts) top.push(element("blockquote", {}, facts.texts[i] || "(no text here)"));
    const head = element("div", {},
      element("p", { class: "x-title" }, label || "no label"),
      element("p", {}, `id ${facts.ids[i]}, ${facts.sets[setOf[i]].name}`),
      ...runs.map((_, run) => {
        const differs = label && atExtent("predicted", run)[i] !== arrays.labels[i];
        return element("p", differs ? { class: "x-differs" } : {}, `${saying(i, run)} at epoch ${epoch(run)}`);
      }),
      ...facts.properties.filter((of) => property(of, i)).map((of) =>
        element("p", {}, `${of.title}: ${property(of, i)}`)));
    box.replaceChildren(
      element("div", { class: "x-head" }, ...top, head),
      element("h4", {}, "Learning"), curve(i), key(),
      element("div", { class: "x-beside" }, ...runs.map((_, run) => element("div", {},
        element("h4", {}, `${named("Votes", run)} at epoch ${epoch(run)}`), votes(i, run)))),
      element("h4", {}, "Scores"), scoreTable(i),
    );
  }

  // The lines of a point: of one run how many are right and how many agree, of two how many are
  // right in each. The classes are those of the style sheet.
  const LINES = numRuns > 1
    ? [["consistency#1", "x-second", runs[1].name], ["consistency#0", "x-first", runs[0].name]]
    : [["consensus#0", "x-second", "share that agrees"], ["consistency#0", "x-first", "share that is right"]];

  function curve(i) {
    const width = 300, height = 90, edge = 4, lines = [];
    const first = facts.extents[0], last = facts.extents[numExtents - 1];
    const x = (e) => edge + ((facts.extents[e] - first) / (last - first || 1)) * (width - 2 * edge);
    const y = (value) => height - edge - value * (height - 2 * edge);
    const of = (name) => facts.extents.map((_, e) => columns.get(name).at(e)[i]);
    const title = (name) => (numRuns > 1 ? columns.get(name).title : columns.get(name).name);
    const make = (name, attributes) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      return made;
    };
    const image = make("svg", { viewBox: `0 0 ${width} ${height}`, class: "x-curve", role: "img" });
    for (const level of [0, 0.5, 1]) {
      image.append(make("line", { x1: edge, x2: width - edge, y1: y(level), y2: y(level), class: "x-level" }));
    }
    image.append(make("line", { x1: x(state.extent), x2: x(state.extent), y1: edge, y2: height - edge, class: "x-now" }));
    for (const [name, kind] of LINES) {
      const values = of(name);
      if (Number.isNaN(values[0])) continue;
      lines.push(`${title(name)} ${values.map((value, e) => `${facts.extents[e]}: ${value.toFixed(2)}`).join(", ")}`);
      image.append(make("polyline", {
        points: values.map((value, e) => `${x(e).toFixed(1)},${y(value).toFixed(1)}`).join(" "),
        class: `x-line ${kind}`,
      }));
      values.forEach((value, e) => image.append(make("circle", { cx: x(e), cy: y(value), r: 2.5, class: `x-dot ${kind}` })));
    }
    image.setAttribute("aria-label", `By epoch: ${lines.join("; ")}`);
    return image;
  }

  const key = () => element("p", { class: "note" },
    `Epoch ${facts.extents[0]} to ${facts.extents[numExtents - 1]}, ` +
      (numRuns > 1 ? "share that is right, from 0 to 1: " : "from 0 to 1: "),
    element("span", { class: `x-key ${LINES[1][1]}` }, LINES[1][2]), " and ",
    element("span", { class: `x-key ${LINES[0][1]}` }, LINES[0][2]), ".");

  function votes(i, run) {
    const found = [], { members } = runs[run];
    if (epoch(run) === runs[run].last) {
      const classes = arrays[`top_classes#${run}`], sizes = arrays[`top_votes#${run}`];
      const top = classes.length / numExamples;
      for (let t = i * top; t < (i + 1) * top; t++) if (sizes[t]) found.push([classes[t], sizes[t]]);
    } else {
      const frequent = atExtent("predicted", run)[i], own = atExtent("correct", run)[i], label = arrays.labels[i];
      found.push([frequent, atExtent("votes", run)[i]]);
      if (label < numClasses && label !== frequent && own) found.push([label, own]);
    }
    const rest = members - found.reduce((sum, [, size]) => sum + size, 0);
    const rows = found.map(([k, size]) => [className(k), size, k === arrays.labels[i]]);
    if (rest) rows.push(["others", rest, false]);
    return element("ul", { class: "x-votes" }, ...rows.map(([name, size, isLabel]) => {
      const bar = element("span", { class: isLabel ? "x-bar x-own" : "x-bar" });
      bar.style.width = `${(100 * size) / members}%`;
      return element("li", {}, element("span", {}, isLabel ? `${name} (label)` : name),
        element("span", { class: "x-number" }, String(size)), bar);
    }));
  }

  // A row for each score, a column for each run.
  function scoreTable(i) {
    const body = element("tbody");
    for (const of of new Set([...columns.values()].map(({ name }) => name))) {
      const here = runs.map((_, run) => columns.get(`${of}#${run}`));
      const values = here.map((column) => (column ? column.at(state.extent)[i] : NaN));
      if (values.every(Number.isNaN)) continue;
      const first = here.find(Boolean);
      const name = element("th", { scope: "row" },
        numRuns > 1 ? first.title.replace(`, ${runs[first.run].name}`, "") : titleOf(first));
      name.title = first.meaning;
      body.append(element("tr", {}, name, ...values.map((value, run) => {
        const error = Number.isNaN(value) ? NaN : here[run].error(i, value);
        return element("td", { class: "x-number" },
          number(value) + (Number.isNaN(error) ? "" : ` ± ${error.toFixed(3)}`));
      })));
    }
    const heads = runs.map(({ name }) => element("th", { scope: "col", class: "x-number" }, name || "value ± standard error"));
    return element("div", { class: "scroll" }, element("table", {}, element("thead", {}, element("tr", {},
      element("th", { scope: "col" }, "score"), ...heads)), body));
  }

  // -------------------------------------------------------------------------------- controls

  function fill(select, entries, value) {
    select.replaceChildren(...entries.map(([key, title]) => element("option", { value: key }, title)));
    select.value = String(value);
  }

  function bind(id, entries, name, { numeric = false, after = changed } = {}) {
    const select = $(id);
    fill(select, entries, state[name]);
    select.addEventListener("change", () => {
      state[name] = numeric ? Number(select.value) : select.value;
      state.page = 0;
      after();
    });
  }

  const scored = [...columns].map(([key, { title }]) => [key, title]);
  const classes = facts.classes.map((name, k) => [k, name]);
  const redraw = () => { state.view = [0, 1, 0, 1]; drawMap(); };
  bind("run", runs.map(({ name }, run) => [run, name]), "run", { numeric: true });
  $("run").parentElement.hidden = numRuns < 2;
  for (const of of facts.properties) {
    const select = element("select", { id: `x-property-${of.name}` });
    fill(select, [[-1, "all"], ...of.names.map((name, k) => [k, name])], -1);
    select.addEventListener("change", () => {
      state.properties.delete(of.name);
      if (Number(select.value) >= 0) state.properties.set(of.name, Number(select.value));
      state.page = 0;
      changed();
    });
    $("search").parentElement.before(element("label", {}, `${of.title} `, select));
  }
  bind("set", [[-1, "all"], ...facts.sets.map(({ name }, s) => [s, name])], "set", { numeric: true });
  bind("label", [[-1, "all"], ...classes], "label", { numeric: true });
  bind("predicted", [[-1, "all"], ...classes], "predicted", { numeric: true });
  bind("choice", Object.entries(CHOICES), "choice");
  const listed = (draw) => () => { draw(); showList(); }; // the table has the scores that are used
  const names = [["correct", "right or wrong"], ["label", "label"], ["predicted", "vote"], ["set", "set"]];
  if (numRuns > 1) names.unshift(["both", "which is right"]);
  bind("x", scored, "x", { after: listed(redraw) });
  bind("y", scored, "y", { after: listed(redraw) });
  bind("colour", [...names, ...facts.properties.map(({ name, title }) => [name, title]), ...scored],
    "colour", { after: listed(drawMap) });
  bind("score", scored, "histogram", { after: listed(() => { drawHistogram(); showRange(); }) });
  $("everything").addEventListener("change", () => { state.everything = $("everything").checked; showList(); });
  $("search").addEventListener("input", () => {
    state.search = $("search").value;
    state.page = 0;
    changed();
  });
  $("spread").addEventListener("change", () => { state.spread = $("spread").checked; drawMap(); });
  for (const mode of ["pan", "rectangle", "lasso"]) {
    $(mode).addEventListener("change", () => {
      state.mode = mode;
      map.dataset.mode = mode;
    });
  }
  $("in").addEventListener("click", () => zoomMiddle(1.6));
  $("out").addEventListener("click", () => zoomMiddle(1 / 1.6));
  $("whole").addEventListener("click", () => moveTo(0, 0, 1, 1));

  for (const end of ["least", "most"]) {
    $(end).addEventListener("change", () => {
      const { low, high } = binning(state.histogram);
      const [least, most] = ["least", "most"].map((id, e) => {
        const text = $(id).value.trim();
        return text === "" || Number.isNaN(Number(text)) ? [low, high][e] : Number(text);
      });
      if (least <= low && most >= high) state.ranges.delete(state.histogram);
      else state.ranges.set(state.histogram, [least, most]);
      state.page = 0;
      changed();
    });
  }
  function showRange() {
    const range = state.ranges.get(state.histogram);
    $("least").value = range ? +range[0].toFixed(4) : "";
    $("most").value = range ? +range[1].toFixed(4) : "";
    const chips = [...state.ranges].map(([key, [least, most]]) =>
      [`${columns.get(key).title} ${+least.toFixed(3)} to ${+most.toFixed(3)}`, () => state.ranges.delete(key)]);
    if (state.region) chips.push(["drawn on the map", () => { state.region = null; }]);
    $("chips").replaceChildren(...chips.map(([text, remove]) => {
      const button = element("button", { type: "button", "aria-label": `Remove the filter: ${text}` }, `${text} ×`);
      button.addEventListener("click", () => { remove(); changed(); $("search").focus(); });
      return element("li", {}, button);
    }));
  }
  $("reset").addEventListener("click", () => {
    Object.assign(state, { set: -1, label: -1, predicted: -1, choice: "all", search: "", region: null, page: 0 });
    state.ranges.clear();
    state.properties.clear();
    for (const id of ["set", "label", "predicted", ...[...properties.keys()].map((name) => `property-${name}`)]) {
      $(id).value = "-1";
    }
    $("choice").value = "all";
    $("search").value = "";
    changed();
  });

  const slider = $("extent");
  slider.max = String(numExtents - 1);
  slider.value = String(state.extent);
  function showExtent(extent) {
    state.extent = extent;
    slider.value = String(extent);
    changed();
  }
  slider.addEventListener("input", () => { stop(); showExtent(Number(slider.value)); });
  let playing = 0;
  function stop() {
    clearInterval(playing);
    playing = 0;
    $("play").textContent = "Play";
  }
  $("play").addEventListener("click", () => {
    if (playing) return stop();
    $("play").textContent = "Pause";
    if (state.extent === numExtents - 1) showExtent(0);
    playing = setInterval(() => {
      if (state.extent === numExtents - 1) stop();
      else showExtent(state.extent + 1);
    }, Math.max(150, Math.min(800, 8000 / numExtents)));
  });

  for (const [tab, other] of [["table", "cards"], ["cards", "table"]]) {
    const show = (which) => { Object.assign(state, { tab: which, page: 0 }); showList(); };
    $(`tab-${tab}`).addEventListener("click", () => show(tab));
    $(`tab-${tab}`).addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      if ($(`tab-${other}`).hidden) return;
      show(other);
      $(`tab-${other}`).focus();
    });
  }
  $("tab-cards").hidden = !facts.texts && !facts.sprites;
  $("tab-cards").textContent = facts.texts ? "Texts" : "Pictures";
  $("previous").addEventListener("click", () => { state.page -= 1; showList(); });
  $("next").addEventListener("click", () => { state.page += 1; showList(); });

  function table() {
    const quote = (value) => (/[",\n\r]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
    const of = (key) => (numRuns > 1 ? `${columns.get(key).name} of ${runs[columns.get(key).run].name}` : columns.get(key).name);
    const keys = [...columns.keys()], withErrors = keys.filter((key) => columns.get(key).hasErrors);
    const ofRuns = runs.map((_, run) => run);
    const precise = (value) => (Number.isNaN(value) ? "" : String(+value.toPrecision(6)));
    const rows = [[
      "set", "id", "label", ...ofRuns.flatMap((run) => (numRuns > 1 ? [`vote of ${runs[run].name}`, `epoch of ${runs[run].name}`] : ["vote", "epoch"])),
      ...properties.keys(), ...keys.map(of), ...withErrors.map((key) => `${of(key)}_error`),
    ]];
    for (const i of shown) {
      rows.push([
        facts.sets[setOf[i]].name, String(facts.ids[i]), className(arrays.labels[i]),
        ...ofRuns.flatMap((run) => [className(atExtent("predicted", run)[i]), String(epoch(run))]),
        ...facts.properties.map((each) => property(each, i)),
        ...keys.map((key) => precise(valuesOf(key)[i])),
        ...withErrors.map((key) => precise(columns.get(key).error(i))),
      ]);
    }
    return rows.map((row) => row.map(quote).join(",")).join("\n") + "\n";
  }
  $("download").addEventListener("click", () => {
    const link = element("a", { download: "selection.csv" });
    link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });

  // ----------------------------------------------------------------------------------- views

  const waiting = new Set();
  function soon(draw) {
    if (!waiting.size) {
      requestAnimationFrame(() => {
        const due = [...waiting];
        waiting.clear();
        for (const each of due) each();
      });
    }
    waiting.add(draw);
  }

  function changed() {
    select();
    const size = state.tab === "table" ? ROWS : facts.texts ? TEXTS : PICTURES;
    state.page = Math.min(state.page, Math.max(0, Math.ceil(shown.length / size) - 1));
    $("epoch").textContent = `epoch ${facts.extents[state.extent]}`;
    slider.setAttribute("aria-valuetext", `epoch ${facts.extents[state.extent]}`);
    const { right, labelled } = tally;
    $("status").textContent = `${count(shown.length)} of ${count(numExamples)} examples selected` +
      (labelled ? `; ${runs.map(({ name }, run) =>
        `the vote${name && ` of ${name}`} is right for ${((100 * right[run]) / labelled).toFixed(1)} %`).join(", ")}` : "");
    $("download").disabled = !shown.length;
    showRange();
    drawMap();
    drawHistogram();
    showList();
    showPoint();
  }

  const redrawAll = () => { drawMap(); drawHistogram(); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
  $("remark").textContent = facts.remark;
  $("body").hidden = false;
  measure();
  const observer = new ResizeObserver(() => soon(() => { measure(); redrawAll(); }));
  for (const canvas of [map, bars]) observer.observe(canvas);
  select();
  state.point = shown[0];
  changed();
  $("body").dataset.milliseconds = String(Math.round(performance.now()));
  $("body").dataset.ready = "true";
})();
