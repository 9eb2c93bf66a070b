// Before reveal.js and MathJax are loaded: typeset first, then begin; and make room on a slide that is too full.
const fit = (slide) => {
  const full = () => slide.scrollHeight > slide.clientHeight + 1;
  for (let height = 440; height > 240 && full(); height -= 20) slide.style.setProperty("--picture", `${height}px`);
  for (let percent = 100; percent > 55 && full(); percent -= 3) slide.style.fontSize = `${percent}%`;
};
window.MathJax = {
  options: { enableMenu: false },
  startup: {
    ready: () => {
      MathJax.startup.defaultReady();
      MathJax.startup.promise.then(async () => {
        const options = { width: 1280, height: 720, margin: 0.02, center: false, hash: true, slideNumber: "c/t", transition: "none" };
        await Reveal.initialize(options);
        fit(Reveal.getCurrentSlide());
        Reveal.on("slidechanged", ({ currentSlide }) => fit(currentSlide));
      });
    },
  },
};
