// ipywidgets gives a slider's handle no name, and says sums of floats: 0.7999999999999999. What
// stands beside the slider says both better. Begun once a page; harmless where no lab is.
(() => {
  if (window.servemathSliders) return;
  const set = (handle, name, value) => {
    if (value !== null && handle.getAttribute(name) !== value) handle.setAttribute(name, value);
  };
  const tidy = (text) => {
    const value = Number(text);
    return text === null || Number.isNaN(value) ? text : String(Number(value.toPrecision(12)));
  };
  const name = () => {
    waiting = false;
    for (const row of document.querySelectorAll('.sm-lab .widget-slider')) {
      const handle = row.querySelector('.noUi-handle');
      if (!handle) continue;
      set(handle, 'aria-label', row.querySelector('.widget-label')?.textContent ?? null);
      set(handle, 'aria-valuetext', row.querySelector('.widget-readout')?.textContent ?? null);
      for (const end of ['aria-valuenow', 'aria-valuemin', 'aria-valuemax']) {
        set(handle, end, tidy(handle.getAttribute(end)));
      }
    }
  };
  let waiting = false;
  const soon = () => {
    if (!waiting) requestAnimationFrame(name);
    waiting = true;
  };
  window.servemathSliders = new MutationObserver(soon);
  window.servemathSliders.observe(document.body, {
    subtree: true, childList: true, attributes: true, attributeFilter: ['aria-valuetext'],
  });
  soon();
})();
