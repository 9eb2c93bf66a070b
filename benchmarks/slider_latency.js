// In the page: `probe` names the picture that a cell shows now, `clock` times a key press, `drag` moves at 60 Hz.
window.watch = (cell) => {
  const slider = cell.querySelector("input[type=range], .noUi-handle");
  const canvas = new OffscreenCanvas(1, 1);
  const paper = canvas.getContext("2d", { willReadFrequently: true });
  const known = new WeakMap();

  const probe = () => {
    const svg = cell.querySelector(".jp-OutputArea-output svg[role=img]");
    if (svg) return svg.getAttribute("aria-label");
    const image = cell.querySelector(".jp-OutputArea-output img");
    if (!image || !image.complete || !image.naturalWidth) return "";
    const last = known.get(image);
    if (last && last.src === image.src) return last.name;
    const name = fingerprint(image);
    known.set(image, { src: image.src, name });
    return name;
  };

  const fingerprint = (image) => { // of its upper part, where the titles are
    canvas.width = image.naturalWidth;
    canvas.height = 50;
    paper.drawImage(image, 0, 0);
    const words = new Uint32Array(paper.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    let hash = 0;
    for (const word of words) hash = (Math.imul(hash, 31) + word) | 0;
    return String(hash);
  };

  const until = (expected, most) => new Promise((resolve) => {
    let pressed = 0;
    const key = (event) => { pressed = pressed || event.timeStamp; };
    document.addEventListener("keydown", key, { capture: true, once: true });
    const end = performance.now() + most;
    const look = () => {
      const now = performance.now();
      if (pressed && probe() === expected) return resolve(now - pressed);
      if (now > end) return resolve(Infinity);
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });

  // `ms` after the beginning of a frame.
  const phase = (ms) => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, ms)));

  const move = () => {
    if (slider.type === "range") {
      slider.value = Number(slider.value) + 1;
      slider.dispatchEvent(new Event("input"));
    } else slider.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  };

  // One move in each animation frame, as a browser hands on the moves of a mouse; then a rest for what comes late.
  const drag = (steps, rest) => new Promise((resolve) => {
    const seen = [];
    let end = 0;
    const look = () => {
      const name = probe();
      if (name && name !== seen.at(-1)) seen.push(name);
      if (steps-- > 0) move();
      else end = end || performance.now() + rest;
      if (end && performance.now() > end) resolve(seen);
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });

  // The picture, once it is no longer the old one and has not changed for a while; at the latest after 5 s.
  const settled = (old, rest) => new Promise((resolve) => {
    const begin = performance.now();
    let name = "", since = begin;
    const look = () => {
      const now = performance.now(), found = probe();
      if (found !== name) [name, since] = [found, now];
      if ((name && name !== old && now > since + rest) || now > begin + 5000) resolve(name);
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });

  return { slider, until, phase, drag, settled };
};
