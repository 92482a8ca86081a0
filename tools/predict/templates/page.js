'use strict';
const { pictures, pixel, unsure, sure, interval } = JSON.parse(document.getElementById('data').textContent);
// A cell: where its fields stand in its list.
const [X, Y, WIDTH, HEIGHT, SCORE, AREA, BORDER] = [0, 1, 2, 3, 4, 5, 6];
const unit = pixel ? 'µm²' : 'px';
const toUnit = pixel ? pixel * pixel : 1;
const form = document.getElementById('filters');
const gallery = document.getElementById('gallery');

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
function median(values) {
  if (!values.length) return 0;
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
const number = (value) => value.toLocaleString('en', { maximumSignificantDigits: 3 });

for (const [k, picture] of pictures.entries()) {
  const whole = picture.cells.filter((cell) => !cell[BORDER]);
  picture.median = median(whole.map((cell) => cell[AREA])) * toUnit;
  // Cells that are wrong, as far as the scores tell, as a share; remarks come before all.
  const wrong = picture.cells.reduce((sum, cell) => sum + 1 - cell[SCORE], 0);
  picture.doubt = picture.remarks.length + wrong / Math.max(picture.cells.length, 1);
  picture.card = card(picture, `picture-${k}`);
}

function card(picture, id) {
  const [width, height] = picture.size;
  const frame = element('a', { className: 'frame', target: '_blank' });
  frame.style.aspectRatio = `${width} / ${height}`;
  if (picture.src) {
    frame.href = picture.src;
    frame.append(element('img', { src: picture.src, loading: 'lazy', alt: `Outlines of the cells of ${picture.name}` }));
  }
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  frame.append(svg);
  const border = picture.cells.filter((cell) => cell[BORDER]).length;
  const between = picture.interval ? ` (${picture.interval[0]} to ${picture.interval[1]})` : '';
  const line = `${picture.cells.length} cells${between}, ${border} at the border` +
    (picture.median ? `; median area ${number(picture.median)} ${unit}` : '');
  const made = element('article', { id }, frame, element('h3', { textContent: picture.name }),
    element('p', { textContent: line }), element('p', { className: 'match' }));
  for (const remark of picture.remarks) made.append(element('p', { className: 'remark', textContent: remark }));
  return made;
}

function crops() {
  const all = pictures.flatMap((picture) => picture.cells.map((cell) => [cell, picture]));
  all.sort(([a], [b]) => a[SCORE] - b[SCORE]);
  const place = document.getElementById('crops');
  for (const [cell, picture] of all.slice(0, unsure)) {
    const side = 1.5 * Math.max(cell[WIDTH], cell[HEIGHT]);
    const scale = 112 / side;
    const crop = element('div', { className: 'crop' });
    if (picture.src) {
      const img = element('img', { src: picture.src, loading: 'lazy', alt: '' });
      img.style.width = `${picture.size[0] * scale}px`;
      img.style.left = `${(side / 2 - cell[X] - cell[WIDTH] / 2) * scale}px`;
      img.style.top = `${(side / 2 - cell[Y] - cell[HEIGHT] / 2) * scale}px`;
      crop.append(img);
    }
    const button = element('button', { type: 'button', title: picture.name }, crop,
      `${cell[SCORE].toFixed(2)} ${picture.name.split('/').pop()}`);
    button.onclick = () => {
      form.reset();
      show();
      mark(picture, [cell]);
      location.hash = '';
      location.hash = picture.card.id;
    };
    place.append(button);
  }
  document.getElementById('first').hidden = !all.length;
}

function mark(picture, cells) {
  const svg = picture.card.querySelector('svg');
  svg.replaceChildren(...cells.map((cell) => {
    const rect = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
    for (const [name, at] of [['x', X], ['y', Y], ['width', WIDTH], ['height', HEIGHT]]) rect.setAttribute(name, cell[at]);
    return rect;
  }));
}

const ORDERS = {
  doubt: (a, b) => b.doubt - a.doubt,
  name: (a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }),
  most: (a, b) => b.cells.length - a.cells.length,
  fewest: (a, b) => a.cells.length - b.cells.length,
  large: (a, b) => b.median - a.median,
};

function show() {
  const value = (name) => form.elements[name].value;
  const bound = (name, missing) => (value(name) === '' ? missing : Number(value(name)));
  const chosen = ['score', 'small', 'large', 'border'].some((name) => value(name) !== '');
  const fits = (cell) => cell[SCORE] <= bound('score', 1) && cell[AREA] * toUnit >= bound('small', 0) &&
    cell[AREA] * toUnit <= bound('large', Infinity) && (value('border') === '' || cell[BORDER] === Number(value('border')));
  const text = value('text').toLowerCase();
  const kept = [];
  let matches = 0;
  for (const picture of pictures) {
    const cells = chosen ? picture.cells.filter(fits) : [];
    const count = picture.cells.length;
    mark(picture, cells);
    picture.card.querySelector('.match').textContent = chosen ? `${cells.length} marked` : '';
    if (picture.name.toLowerCase().includes(text) && count >= bound('least', 0) && count <= bound('greatest', Infinity) &&
        (!form.elements.remarked.checked || picture.remarks.length) && (!chosen || cells.length)) {
      kept.push(picture);
      matches += cells.length;
    }
  }
  kept.sort(ORDERS[value('order')]);
  gallery.replaceChildren(...kept.map((picture) => picture.card));
  document.getElementById('shown').textContent = `${kept.length} of ${pictures.length} pictures` +
    (chosen ? `, ${matches} cells marked` : '');
}

const cells = pictures.flatMap((picture) => picture.cells);
const between = interval ? `cells (95 %: ${interval[0]} to ${interval[1]})` : 'cells';
const tiles = [[pictures.length, 'pictures'], [cells.length, between],
  [cells.filter((cell) => cell[BORDER]).length, 'of them at a border'],
  [number(median(cells.filter((cell) => !cell[BORDER]).map((cell) => cell[AREA] * toUnit))), `median area, ${unit}`]];
for (const [value, name] of tiles) {
  document.getElementById('tiles').append(element('div', { className: 'tile' }, element('b', { textContent: value }), name));
}
document.querySelector('.unit').textContent = unit;
document.querySelector('.sure').textContent = sure;
document.querySelector('.least').textContent = sure.toLowerCase();
form.addEventListener('input', show);
form.addEventListener('reset', () => setTimeout(show));
form.addEventListener('submit', (event) => event.preventDefault());
crops();
show();
