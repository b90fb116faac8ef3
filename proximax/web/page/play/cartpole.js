// CartPole-v1 as Gymnasium steps it: state [x, x', θ, θ'], Euler steps of 0.02 s, the pole falls at 12°.

const GRAVITY = 9.8, CART = 1, POLE = 0.1, TOTAL = POLE + CART, LENGTH = 0.5, POLE_LENGTH = POLE * LENGTH;
const FORCE = 10, TAU = 0.02, MAX_ANGLE = (12 * 2 * Math.PI) / 360, MAX_X = 2.4;

function step([x, v, angle, w], action) {
  const force = action === 1 ? FORCE : -FORCE, cos = Math.cos(angle), sin = Math.sin(angle);
  const temp = (force + POLE_LENGTH * (w * w) * sin) / TOTAL;
  const dw = (GRAVITY * sin - cos * temp) / (LENGTH * (4 / 3 - (POLE * (cos * cos)) / TOTAL));
  const dv = temp - (POLE_LENGTH * dw * cos) / TOTAL;
  const state = [x + TAU * v, v + TAU * dv, angle + TAU * w, w + TAU * dw];
  return { state, reward: 1, done: Math.abs(state[0]) > MAX_X || Math.abs(state[2]) > MAX_ANGLE };
}

function draw(paint, [x, , angle], action) {
  const { main, ink, muted, rule, soft } = paint.colours, top = 0.36;
  paint.line([[paint.left, -0.16], [paint.right, -0.16]], rule, 0.05);
  for (const end of [-MAX_X, MAX_X]) paint.line([[end, -0.3], [end, 0.1]], muted, 0.05);
  const reach = (a) => [x + 1.25 * Math.sin(a), top + 1.25 * Math.cos(a)];
  paint.area([[x, top], ...Array.from({ length: 9 }, (_, i) => reach(MAX_ANGLE * (i / 4 - 1)))], soft);
  for (const wheel of [-0.24, 0.24]) paint.disc([x + wheel, -0.04], 0.1, muted);
  paint.box([x - 0.42, 0], [0.84, top], 0.09, ink);
  paint.line([[x, top], [x + Math.sin(angle), top + Math.cos(angle)]], main, 0.11);
  paint.disc([x, top], 0.075, muted);
  if (action !== null) {
    const way = action === 1 ? 1 : -1;
    paint.arrow([x + 0.52 * way, 0.18], [x + 0.86 * way, 0.18], main, 0.045);
  }
}

export const cartpole = {
  id: "CartPole-v1",
  limit: 500,
  rate: 50,
  start: (random) => Array.from({ length: 4 }, () => random() * 0.1 - 0.05),
  observe: (state) => state,
  step,
  // There is no action that does nothing: without a key the cart is pushed to both sides in turn.
  control: (held, count) => (held ? (held > 0 ? 1 : 0) : count % 2),
  world: { left: -2.9, right: 2.9, bottom: -0.75, top: 1.95 },
  draw,
  goal: "Keep the pole up. The return is the number of steps, at most 500.",
  keys: "← → push the cart",
};
