// Runs as the `onload` of a <style> inside a box of widgets, for what ipywidgets leaves out: a screen reader
// shall hear each slider's name and shown value (a choice would be read as its number), what an empty button is,
// the words that go with a picture, and what changes after a move. It watches the box, for its children may come later.
const box = this.closest(".course-controls");
if (!box || box.dataset.named) return;
box.dataset.named = "yes";

const set = (element, name, value) => {
  if (element && value !== undefined && element.getAttribute(name) !== value) element.setAttribute(name, value);
};
const name = () => {
  for (const slider of box.querySelectorAll(".widget-slider")) {
    const words = slider.querySelector("label")?.textContent;
    const [handle, readout] = [".noUi-handle", ".widget-readout"].map((kind) => slider.querySelector(kind));
    set(handle, "aria-label", words);
    set(handle, "aria-valuetext", readout?.textContent);
    if (!readout?.isContentEditable) continue;
    set(readout, "role", "textbox");
    set(readout, "aria-label", words);
  }
  for (const button of box.querySelectorAll("button[title]")) set(button, "aria-label", button.title);
  const sentence = box.querySelector(":scope > .widget-html:last-child");
  set(sentence, "aria-live", "polite");
  set(box.querySelector(":scope > .widget-image"), "alt", sentence?.textContent);
};
const all = { childList: true, subtree: true, characterData: true, attributeFilter: ["title"] };
new MutationObserver(name).observe(box, all);
name();
