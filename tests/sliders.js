// In the page, for test_browser.py: what a `scrub` figure shows, and whether it is what Python drew.
window.sliders = {
  // Everything in a picture: tag, attributes and own text of each element, but for the style that the page gave it.
  read: (svg) => [svg, ...svg.querySelectorAll("*")].map((element) => [
    element.tagName,
    Object.fromEntries([...element.attributes].filter((a) => element !== svg || a.name !== "style").map((a) => [a.name, a.value])),
    element.children.length ? "" : element.textContent,
  ]),

  // Move through every frame and name those that are not equal to Python's picture, node by node.
  wrongFrames: (figure, pictures) => {
    const inputs = [...figure.querySelectorAll("input")];
    const sizes = inputs.map((input) => Number(input.max) + 1);
    const total = sizes.reduce((a, b) => a * b, 1);
    const wrong = pictures.length === total ? [] : [`${pictures.length} pictures for ${total} frames`];
    const order = pictures.map((_, k) => k).reverse(); // not the order in which they were sent
    for (const frame of [...order, ...order.filter((k) => k % 7 === 3)]) {
      inputs.reduce((rest, input, axis) => {
        input.value = rest % sizes[axis];
        input.dispatchEvent(new Event("input"));
        return Math.floor(rest / sizes[axis]);
      }, frame);
      const shown = figure.querySelector("svg").cloneNode(true);
      shown.removeAttribute("style");
      const drawn = new DOMParser().parseFromString(pictures[frame], "image/svg+xml").documentElement;
      const said = figure.querySelector("figcaption").textContent === drawn.getAttribute("aria-label");
      if (!said || !shown.isEqualNode(drawn)) wrong.push(frame);
    }
    return wrong;
  },

  // Move the first slider once in every animation frame, to its end; what was shown in the next frame, and the time.
  drag: (figure) => new Promise((resolve) => {
    const input = figure.querySelector("input");
    const svg = figure.querySelector("svg");
    const shown = [];
    const begin = performance.now();
    input.value = 0;
    input.dispatchEvent(new Event("input"));
    const look = () => {
      shown.push([input.getAttribute("aria-valuetext"), svg.getAttribute("aria-label")]);
      if (input.value === input.max) return resolve({ shown, ms: performance.now() - begin });
      input.value = Number(input.value) + 1;
      input.dispatchEvent(new Event("input"));
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }),

  // The parts of a figure or a box that stand out of it on the right, but for what scrolls within it.
  sticksOut: (box) => {
    const edge = Math.min(box.getBoundingClientRect().right, window.innerWidth) + 1;
    const parts = [...box.querySelectorAll("input, button, label, figcaption, .widget-readout, .noUi-base, .jupyter-widgets")];
    const out = parts.map((part) => [part.getBoundingClientRect().right - edge, part.className || part.tagName]);
    return out.filter(([pixels]) => pixels > 0);
  },

  // Count what the kernel says from now on.
  listen: () => {
    window.messages = [];
    const { kernel } = jupyterapp.shell.currentWidget.context.sessionContext.session;
    kernel.anyMessage.connect((_, { msg }) => window.messages.push(msg.header.msg_type));
  },

  // The colour of an element's words, opacity mixed in, and of what they stand on, as #rrggbb.
  colours: (element) => {
    const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
    const above = [];
    for (let e = element; e; e = e.parentElement) above.push(getComputedStyle(e));
    const paper = above.map((s) => channels(s.backgroundColor)).find(([, , , alpha = 1]) => alpha > 0) ?? [255, 255, 255];
    const ink = channels(above[0].color);
    const share = above.reduce((product, s) => product * s.opacity, ink[3] ?? 1);
    const mixed = paper.slice(0, 3).map((p, i) => Math.round(p + share * (ink[i] - p)));
    return [mixed, paper.slice(0, 3)].map((rgb) => `#${rgb.map((c) => c.toString(16).padStart(2, "0")).join("")}`);
  },

  digest: async (image) => {
    const bytes = await (await fetch(image.src)).arrayBuffer();
    const hash = await crypto.subtle.digest("SHA-256", bytes);
    return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  },
};
