// Reads /stats once per second, and shows it.
'use strict';

const history = [];
const text = (id, value) => { document.getElementById(id).textContent = value; };

function rows(id, entries) {
  const rows = entries.map(([name, value]) => {
    const row = document.createElement('tr');
    for (const content of [name, value]) {
      row.appendChild(document.createElement('td')).textContent = content;
    }
    return row;
  });
  document.getElementById(id).replaceChildren(...rows);
}

function chart() {
  const canvas = document.getElementById('chart');
  const context = canvas.getContext('2d');
  const style = getComputedStyle(document.documentElement);
  const highest = Math.max(1, ...history);
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  [canvas.width, canvas.height] = [width * scale, height * scale];
  context.scale(scale, scale);
  context.strokeStyle = style.getPropertyValue('--blue');
  context.lineWidth = 2;
  context.beginPath();
  history.forEach((value, index) => {
    const x = width - (history.length - 1 - index) * (width / 119);
    context.lineTo(x, height - 6 - (value / highest) * (height - 36));
  });
  context.stroke();
  context.fillStyle = getComputedStyle(document.body).color;
  context.font = '13px system-ui, sans-serif';
  context.fillText(`highest: ${highest}`, 8, 18);
}

function show(stats) {
  text('connections', stats.connections);
  text('channels', stats.channels);
  text('users', stats.users);
  text('pressure', stats.pressure.toFixed(2));
  text('breaker', stats.cleanup.breaker);
  text('queued', stats.cleanup.queued + stats.cleanup.deferred);
  text('batch', stats.batch_mean.toFixed(1));
  text('webhooks', stats.webhooks.events);
  history.push(stats.connections);
  history.splice(0, history.length - 120);
  chart();
  rows('batches', stats.batch_sizes.map(([size, count]) => [size > 2 ** 53 ? 'more' : `up to ${size}`, count]));
  rows('cleanup', Object.entries(stats.cleanup).filter(([, value]) => typeof value === 'number'));
}

async function tick() {
  try {
    const response = await fetch('/stats', { cache: 'no-store' });
    show(await response.json());
    text('state', 'live');
  } catch (error) {
    text('state', 'the server does not answer');
  }
  setTimeout(tick, 1000);
}

tick();
