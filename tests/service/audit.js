// What is wrong with a page for those who do not see it well, or at all: a list of faults.
() => {
  const faults = [];
  const seen = (e) => e.checkVisibility({ checkOpacity: false, checkVisibilityCSS: true });
  const named = (e) => (e.getAttribute('aria-label') || e.labels?.[0]?.textContent
    || (e.getAttribute('aria-labelledby') && document.getElementById(e.getAttribute('aria-labelledby'))?.textContent)
    || e.textContent || e.title || '').trim();
  for (const e of document.querySelectorAll('button, a[href], input, select, textarea, [role=img], [role=slider], [role=application], meter, summary, section, dialog')) {
    if (seen(e) && !named(e)) faults.push('no name: ' + e.outerHTML.slice(0, 90));
  }
  for (const e of document.querySelectorAll('img')) if (!e.hasAttribute('alt')) faults.push('no alt: ' + e.src);
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  for (const id of ids) if (ids.filter((x) => x === id).length > 1) faults.push('twice: ' + id);
  for (const e of document.querySelectorAll('[aria-labelledby], [aria-describedby]')) {
    for (const ref of ['aria-labelledby', 'aria-describedby']) {
      const id = e.getAttribute(ref);
      if (id && !document.getElementById(id)) faults.push('refers to nothing: ' + id);
    }
  }
  // Contrast of every text that is shown, against what lies behind it.
  const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    paint.clearRect(0, 0, 1, 1); paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const part = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const over = (top, below) => {
    const a = top[3] / 255;
    return [0, 1, 2].map((i) => top[i] * a + below[i] * (1 - a)).concat(255);
  };
  const behind = (e) => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3]) layers.push(colour);
      if (colour[3] === 255) break;
    }
    return layers.reduceRight((below, top) => over(top, below), [255, 255, 255, 255]);
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !seen(e) || e.closest('.unseen, .skip, svg, :disabled')) continue;
    const style = getComputedStyle(e);
    if (parseFloat(style.opacity) === 0) continue;
    const below = behind(e);
    const text = over(rgba(style.color), below);
    const [one, other] = [light(text), light(below)].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)}: ${walk.currentNode.textContent.trim().slice(0, 40)}`);
  }
  // What can be pressed is large enough (WCAG 2.2, 24 px), words in a text aside.
  for (const e of document.querySelectorAll('button:not(.figure, .take-link), select, summary, input:not([type=radio], [type=checkbox])')) {
    const box = e.getBoundingClientRect();
    if (seen(e) && box.height < 24) faults.push('too small: ' + e.outerHTML.slice(0, 80));
  }
  return faults;
}
