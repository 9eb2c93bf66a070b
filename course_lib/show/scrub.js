// Brings the still of a `scrub` figure to life. It knows nothing of what is drawn: Python drew every frame, and sent
// the first picture plus, for each frame, the places that differ from the frame before. Here they are put in place.
document.querySelectorAll('figure[data-scrub="@ID@"]:not([data-alive])').forEach((figure) => {
  figure.dataset.alive = "yes";
  const { axes, slots, strings, frames, start } = JSON.parse(figure.querySelector("script").textContent);
  const caption = figure.querySelector("figcaption");

  // The still holds the text of its SVG: put the drawing itself where the image was, with the same style.
  const still = figure.querySelector("img");
  const bytes = Uint8Array.from(atob(still.src.split(",")[1]), (c) => c.charCodeAt(0));
  const parsed = new DOMParser().parseFromString(new TextDecoder().decode(bytes), "image/svg+xml");
  const picture = document.importNode(parsed.documentElement, true);
  picture.style.cssText = still.style.cssText + ";height:auto;display:block";
  still.replaceWith(picture);
  const nodes = [picture, ...picture.querySelectorAll("*")];

  // Every frame as a list of string numbers, one for each slot, from its [slot, string, slot, string, ...] changes.
  const now = new Uint32Array(slots.length);
  const all = frames.map((changes) => {
    for (let i = 0; i < changes.length; i += 2) now[changes[i]] = changes[i + 1];
    return now.slice();
  });
  const at = start.slice(); // one position for each axis; the first axis runs fastest
  const index = () => at.reduceRight((rest, position, axis) => rest * axes[axis].values.length + position, 0);
  let shown = all[index()];

  const show = () => {
    const frame = all[index()];
    slots.forEach(([node, attribute], i) => {
      if (frame[i] === shown[i]) return;
      if (attribute) nodes[node].setAttribute(attribute, strings[frame[i]]);
      else nodes[node].textContent = strings[frame[i]];
    });
    shown = frame;
    const sentence = picture.getAttribute("aria-label");
    if (caption.textContent !== sentence) caption.textContent = sentence;
  };

  const make = (tag, style, more) => {
    const element = Object.assign(document.createElement(tag), more);
    element.style.cssText = style;
    return element;
  };
  const columns = "max-content minmax(7em,24em) max-content max-content";
  const controls = make("div", `display:grid;grid-template-columns:${columns};gap:6px 12px;align-items:center;margin:4px 0 8px`);

  const sliders = axes.map(({ name, values }, axis) => {
    const row = make("label", "display:contents");
    const slider = make("input", "grid-column:2;margin:0;accent-color:#0072B2", { type: "range", min: 0, max: values.length - 1 });
    const value = make("span", `grid-column:3;font-variant-numeric:tabular-nums;min-width:${Math.max(...values.map((v) => v.length))}ch`);
    slider.value = at[axis];
    slider.dataset.lmSuppressShortcuts = "true"; // otherwise JupyterLab takes the arrow keys
    slider.setAttribute("aria-label", name);
    value.setAttribute("aria-hidden", "true"); // read out as the value of the slider
    const read = () => {
      at[axis] = Number(slider.value);
      value.textContent = values[at[axis]];
      slider.setAttribute("aria-valuetext", values[at[axis]]);
      show();
    };
    slider.addEventListener("input", read);
    row.append(make("span", "grid-column:1;text-align:right", { textContent: name }), slider, value);
    controls.append(row);
    read();
    return { slider, read };
  });

  const look = "grid-column:4;grid-row:1;min-width:6em;padding:2px 8px;cursor:pointer;font:inherit;color:inherit;"
    + "background:none;border:1px solid currentColor;border-radius:4px";
  const play = make("button", look, { type: "button" });
  const { slider, read } = sliders[0];
  let timer = 0;
  const say = (sign, verb) => {
    play.textContent = `${sign} ${verb}`;
    play.setAttribute("aria-label", `${verb} ${axes[0].name}`);
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    say("▶", "play");
  };
  const step = () => {
    if (slider.value === slider.max || !figure.isConnected) return stop();
    slider.value = Number(slider.value) + 1;
    read();
  };
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (slider.value === slider.max) slider.value = 0;
    say("❚❚", "pause");
    timer = setInterval(step, 120);
  });
  stop();
  controls.append(play);
  figure.prepend(controls);
});
