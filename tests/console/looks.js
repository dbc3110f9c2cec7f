// What is wrong with how a page looks: a list of sentences. Takes the least size of what is to be hit, in pixels.
(least) => {
  const wrong = [];
  const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && element.getClientRects().length > 0;
  const named = (element) => `${element.tagName.toLowerCase()}.${element.className?.baseVal ?? element.className} "${element.textContent.trim().slice(0, 40)}"`;
  const dialog = document.querySelector("dialog[open]");
  const within = dialog ?? document.body;

  if (document.documentElement.scrollWidth > innerWidth) {
    const widest = [...document.querySelectorAll("main *")].filter((each) => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest(".scroll"));
    wrong.push(`wider than the window: ${widest.slice(0, 3).map(named)}`);
  }

  // Contrast (WCAG 2.2, 1.4.3): 4.5 at least, of every text against what lies behind it.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((each) => (each / 255 <= 0.04045 ? each / 255 / 12.92 : ((each / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      const layer = rgba(getComputedStyle(each).backgroundColor);
      layers.unshift(layer);
      if (layer[3] === 1) break;
    }
    return layers.reduce((under, layer) => over(layer, under), [255, 255, 255, 1]);
  };
  const opacity = (element) => {
    let found = 1;
    for (let each = element; each; each = each.parentElement) found *= Number(getComputedStyle(each).opacity);
    return found;
  };
  for (const element of within.querySelectorAll("*")) {
    const says = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) || (element.matches("input, textarea") && (element.value || element.placeholder));
    if (!says || !shown(element) || element.disabled || element.closest("select, noscript")) continue;
    const ground = behind(element);
    const [r, g, b, a] = rgba(getComputedStyle(element).color);
    const ink = over([r, g, b, a * opacity(element)], ground);
    const [more, less] = [light(ink), light(ground)].sort((x, y) => y - x);
    const contrast = (more + 0.05) / (less + 0.05);
    if (contrast < 4.5) wrong.push(`contrast ${contrast.toFixed(2)}: ${named(element)}`);
  }

  for (const element of within.querySelectorAll("button, a[href], input, select, textarea")) {
    if (!shown(element) || element.id === "skip") continue;
    const name = element.getAttribute("aria-label") || element.textContent.trim() || element.closest("label")?.textContent.trim();
    if (!name) wrong.push(`has no name: ${named(element)}`);
    const { width, height } = element.getBoundingClientRect();
    // A link within a text, or in a line that can be hit as a whole, may be as small as its letters (2.5.8).
    const inline = element.matches("a:not(.button)") || element.matches(".sort");
    if (!inline && (width < Math.min(least, 24) || height < least)) wrong.push(`${Math.round(width)} x ${Math.round(height)}: ${named(element)}`);
  }
  for (const each of within.querySelectorAll("[id]")) {
    if (document.querySelectorAll(`[id="${CSS.escape(each.id)}"]`).length > 1) wrong.push(`id twice: ${each.id}`);
  }
  for (const each of within.querySelectorAll("[aria-labelledby], [aria-controls]")) {
    for (const id of [each.getAttribute("aria-labelledby"), each.getAttribute("aria-controls")]) {
      if (id && !document.getElementById(id)) wrong.push(`names ${id}, which is not there`);
    }
  }
  return wrong;
}
