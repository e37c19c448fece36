// The official JavaScript client against the server. Usage: node client.mjs ADDRESS, with a server that was started with
// --app 1:app-key:app-secret --client-events. Waits for events, never for time, but for proofs of absence.
import { createHash, createHmac } from 'node:crypto';
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';

const Pusher = createRequire(import.meta.url)('pusher-js');
const [host, port] = process.argv[2].split(':');
const [id, key, secret] = ['1', 'app-key', 'app-secret'];
const sign = (text) => createHmac('sha256', secret).update(text).digest('hex');

// Fails what hangs.
const limit = setTimeout(() => { console.error('client: no answer for a minute'); process.exit(1); }, 60_000);

/** The part of an app's backend that authorizes subscriptions. */
function authorizer(user, forged) {
  return (channel) => ({
    authorize(socket, callback) {
      if (channel.name.startsWith('presence-')) {
        const channel_data = JSON.stringify({ user_id: user, user_info: { name: `name of ${user}` } });
        callback(null, { auth: `${key}:${sign(`${socket}:${channel.name}:${channel_data}`)}`, channel_data });
      } else {
        callback(null, { auth: `${key}:${forged ? '0'.repeat(64) : sign(`${socket}:${channel.name}`)}` });
      }
    },
  });
}

function connect(user, { appKey = key, forged = false } = {}) {
  return new Pusher(appKey, {
    wsHost: host,
    wsPort: Number(port),
    cluster: 'local',
    forceTLS: false,
    enabledTransports: ['ws'],
    disableStats: true,
    authorizer: authorizer(user, forged),
  });
}

const once = (target, event) => new Promise((resolve) => {
  const handler = (data, metadata) => { target.unbind(event, handler); resolve(data ?? metadata); };
  target.bind(event, handler);
});
const connected = (client) => (client.connection.state === 'connected' ? null : once(client.connection, 'connected'));
const subscribed = (channel) => once(channel, 'pusher:subscription_succeeded');

async function request(method, path, { body, parameters = {}, now = Date.now() } = {}) {
  const query = { auth_key: key, auth_timestamp: Math.floor(now / 1000), auth_version: '1.0', ...parameters };
  const text = body === undefined ? '' : JSON.stringify(body);
  if (text) query.body_md5 = createHash('md5').update(text).digest('hex');
  const sorted = Object.keys(query).sort().map((name) => `${name}=${query[name]}`).join('&');
  const signature = sign(`${method}\n${path}\n${sorted}`);
  const url = `http://${host}:${port}${path}?${sorted}&auth_signature=${signature}`;
  const response = await fetch(url, { method, body: text || undefined });
  const answer = await response.text();
  return { status: response.status, answer: response.ok ? JSON.parse(answer) : answer };
}

async function trigger(channels, name, data, more = {}) {
  const body = { name, channels, data: JSON.stringify(data), ...more };
  const { status, answer } = await request('POST', `/apps/${id}/events`, { body });
  assert.equal(status, 200, JSON.stringify(answer));
  return answer;
}

const step = (name) => console.log(`client: ${name}`);

// Three kinds of channel.
const ada = connect('ada');
await connected(ada);
const names = ['news', 'private-room', 'presence-room'];
const [news, room, presence] = names.map((name) => ada.subscribe(name));
const [, , members] = await Promise.all([news, room, presence].map(subscribed));
assert.equal(members.count, 1);
assert.equal(presence.members.me.info.name, 'name of ada');
step('connects, and subscribes to three kinds of channel');

// Events of the HTTP API, to several channels at once and in a batch.
let arrived = Promise.all([news, room, presence].map((channel) => once(channel, 'greet')));
const answer = await trigger(names, 'greet', { text: 'good day' }, { info: 'subscription_count,user_count' });
assert.deepEqual(await arrived, [0, 1, 2].map(() => ({ text: 'good day' })));
assert.deepEqual(answer.channels.news, { subscription_count: 1 });
assert.deepEqual(answer.channels['presence-room'], { subscription_count: 1, user_count: 1 });
arrived = Promise.all([once(news, 'first'), once(room, 'second')]);
const batch = [['news', 'first'], ['private-room', 'second']].map(([channel, name]) => ({ channel, name, data: '"x"' }));
assert.equal((await request('POST', `/apps/${id}/batch_events`, { body: { batch } })).status, 200);
assert.deepEqual(await arrived, ['x', 'x']);
step('receives events of the HTTP API');

// Members come and go.
const ben = connect('ben');
await connected(ben);
const added = once(presence, 'pusher:member_added');
const bens = ben.subscribe('presence-room');
const list = await subscribed(bens);
assert.deepEqual([list.count, Object.keys(list.members).sort()], [2, ['ada', 'ben']]);
assert.equal((await added).id, 'ben');
step('sees a member come');

// Client events, to the others and with the sender's user.
const bensRoom = ben.subscribe('private-room');
await subscribed(bensRoom);
const fromBen = new Promise((resolve) => presence.bind('client-typing', (data, metadata) => resolve({ data, metadata })));
bens.bind('client-typing', () => assert.fail('the sender received its own event'));
bens.trigger('client-typing', { at: 7 });
const { data, metadata } = await fromBen;
assert.deepEqual([data, metadata.user_id], [{ at: 7 }, 'ben']);
const inRoom = once(room, 'client-x');
bensRoom.trigger('client-x', [1]);
assert.deepEqual(await inRoom, [1]);
step('sends and receives client events');

// One copy for a channel that was subscribed to twice, and none for the excluded socket.
let copies = 0;
news.bind('copy', () => { copies += 1; });
const again = subscribed(news);
ada.send_event('pusher:subscribe', { channel: 'news' });
await again;
room.bind('excluded', () => assert.fail('the excluded socket received the event'));
const bensCopy = once(bensRoom, 'excluded');
await trigger(['private-room'], 'excluded', {}, { socket_id: ada.connection.socket_id });
await bensCopy;
await trigger(['news'], 'copy', {});
const last = once(news, 'last');
await trigger(['news'], 'last', {});
await last;
assert.equal(copies, 1);
step('receives one copy of each event');

// The channels as the HTTP API shows them.
const channels = await request('GET', `/apps/${id}/channels`, { parameters: { filter_by_prefix: 'presence-', info: 'user_count' } });
assert.deepEqual(channels.answer.channels, { 'presence-room': { user_count: 2 } });
const users = await request('GET', `/apps/${id}/channels/presence-room/users`);
assert.deepEqual(users.answer.users.map((user) => user.id).sort(), ['ada', 'ben']);
const one = await request('GET', `/apps/${id}/channels/nothing`, { parameters: { info: 'subscription_count' } });
assert.deepEqual(one.answer, { occupied: false, subscription_count: 0 });

// Wrong requests send nothing.
for (const [change, status] of [[{ channels: ['news', 'no such/name'] }, 400], [{ data: 'x'.repeat(10_241) }, 413], [{ socket_id: 'x' }, 400]]) {
  const body = { name: 'never', channels: ['news'], data: '{}', ...change };
  assert.equal((await request('POST', `/apps/${id}/events`, { body })).status, status);
}
assert.equal((await request('GET', `/apps/${id}/channels`, { now: Date.now() - 700_000 })).status, 401);
step('reads channels and users, and wrong requests are refused');

// A member leaves.
const removed = once(presence, 'pusher:member_removed');
ben.unsubscribe('presence-room');
assert.equal((await removed).id, 'ben');
room.bind('after', () => {});
const benIsOut = once(room, 'after');
ben.unsubscribe('private-room');
// The client forgets the channel at once, whatever the server does: the frames show what the server sends. The answer to
// the subscription to another channel comes after the end of the first.
const frames = [];
ben.connection.bind('message', (frame) => frames.push(`${frame.event} ${frame.channel}`));
const others = ben.subscribe('other');
await subscribed(others);
await trigger(['private-room', 'other'], 'after', {});
await benIsOut;
const lastOfAll = once(others, 'last');
await trigger(['other'], 'last', {});
await lastOfAll;
assert.ok(frames.includes('after other'), frames.join());
assert.ok(!frames.includes('after private-room'), 'an event came after the end of a subscription');
step('sees a member go, and is unsubscribed');

// Wrong signatures and unknown apps.
const eve = connect('eve', { forged: true });
await connected(eve);
const refused = await once(eve.subscribe('private-room'), 'pusher:subscription_error');
assert.deepEqual([refused.type, refused.status], ['AuthError', 401]);
await subscribed(eve.subscribe('news'));
const stranger = connect('x', { appKey: 'no-such-key' });
const failure = await once(stranger.connection, 'error');
assert.equal(failure.error.data.code, 4001);
step('is refused with a wrong signature, and with an unknown key');

// The server cuts the socket, for a frame that is not text: the client connects again, and subscribes again.
const before = ada.connection.socket_id;
const back = Promise.all([once(ada.connection, 'connected'), ...[news, room, presence].map(subscribed)]);
ada.connection.connection.transport.socket.send(Buffer.from([1, 2, 3]));
await back;
assert.notEqual(ada.connection.socket_id, before);
const still = once(news, 'still');
await trigger(['news'], 'still', {});
await still;
step('connects again after the server has cut its socket');

[ada, ben, eve, stranger].forEach((client) => client.disconnect());
clearTimeout(limit);
console.log('client: all passed');
process.exit(0);
