// Pendulum-v1 as Gymnasium steps it: state [θ, θ'], θ = 0 upright, steps of 0.05 s; the torque is a float32.

const MAX_SPEED = 8, MAX_TORQUE = 2, DT = 0.05, GRAVITY = 10;
const f32 = Math.fround;

/** As Python's %, with the sign of the divisor. */
const modulo = (a, m) => (a % m < 0 ? (a % m) + m : a % m);
const upright = (angle) => modulo(angle + Math.PI, 2 * Math.PI) - Math.PI;
const clip = (x, most) => Math.min(Math.max(x, -most), most);

function step([angle, speed], action) {
  const torque = f32(clip(action, MAX_TORQUE)), away = upright(angle);
  const cost = away * away + 0.1 * (speed * speed) + f32(f32(0.001) * f32(torque * torque));
  const pull = ((3 * GRAVITY) / 2) * Math.sin(angle) + f32(3 * torque);
  const next = clip(speed + pull * DT, MAX_SPEED);
  return { state: [angle + next * DT, next], reward: -cost, done: false };
}

function draw(paint, [angle], action) {
  const { main, ink, muted, rule, soft } = paint.colours, end = [-Math.sin(angle), Math.cos(angle)];
  paint.ring([0, 0], 1, rule, 0.012);
  paint.disc([0, 1], 0.17, soft);
  paint.line([[0, 0], end], main, 0.11);
  paint.disc(end, 0.13, main);
  paint.disc([0, 0], 0.06, ink);
  if (action === null) return;
  const share = clip(action, MAX_TORQUE) / MAX_TORQUE;
  if (Math.abs(share) > 0.03) paint.turn([0, 0], 0.32, share * 1.9, muted, 0.04);
}

export const pendulum = {
  id: "Pendulum-v1",
  limit: 200,
  rate: 20,
  start: (random) => [(2 * random() - 1) * Math.PI, 2 * random() - 1],
  observe: ([angle, speed]) => [Math.cos(angle), Math.sin(angle), speed],
  step,
  control: (held) => -MAX_TORQUE * held,
  world: { left: -1.3, right: 1.3, bottom: -1.25, top: 1.25 },
  draw,
  goal: "Swing the pendulum up and hold it there with little torque. The return is at most 0: every step costs.",
  keys: "← → turn it",
};
