// The live page in headless Chromium. Usage: node page.mjs ADDRESS CHROMIUM [SCREENSHOT]
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const { chromium } = createRequire(import.meta.url)('playwright-core');
const Pusher = createRequire(import.meta.url)('pusher-js');
const [address, executablePath, screenshot] = process.argv.slice(2);
const [wsHost, wsPort] = address.split(':');

const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
const browser = await chromium.launch({ executablePath, headless: true, args });
const page = await browser.newPage();
const errors = [];
page.on('pageerror', (error) => errors.push(error.message));
page.on('console', (message) => message.type() === 'error' && !message.location().url.endsWith('favicon.ico') && errors.push(message.text()));
await page.goto(`http://${address}/`);
const shows = (id, text) => page.waitForFunction(
  ([id, text]) => document.getElementById(id).textContent === text, [id, text], { timeout: 60_000 });
await shows('state', 'live');
await shows('connections', '0');
console.log('page: is live');

const client = new Pusher('app-key', { wsHost, wsPort, cluster: 'local', forceTLS: false, enabledTransports: ['ws'] });
client.subscribe('news');
client.subscribe('more');
await shows('connections', '1');
await shows('channels', '2');
console.log('page: shows a connection and its channels');
client.disconnect();
await shows('connections', '0');
await shows('channels', '0');
await page.waitForFunction(() => [...document.querySelectorAll('#cleanup tr')].some((row) => row.textContent === 'done1'));
if (screenshot) await page.screenshot({ path: screenshot });
assert.deepEqual(errors, []);
await browser.close();
console.log('page: all passed');
process.exit(0);
