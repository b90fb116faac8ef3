// Acrobot-v1 as Gymnasium steps it: state [θ1, θ2, θ1', θ2'], θ1 = 0 hanging, one Runge-Kutta step of 0.2 s.

const GRAVITY = 9.8, DT = 0.2, MAX_SPEED_1 = 4 * Math.PI, MAX_SPEED_2 = 9 * Math.PI;
const { PI, sin, cos } = Math;
const f32 = Math.fround;

/** The derivative of the state under a torque; both links have length and mass 1, their centres at a half. */
function slope([a1, a2, w1, w2], torque) {
  const d1 = 0.25 + (1.25 + cos(a2)) + 1 + 1, d2 = 0.25 + 0.5 * cos(a2) + 1;
  const phi2 = 0.5 * GRAVITY * cos(a1 + a2 - PI / 2);
  const phi1 = -0.5 * (w2 * w2) * sin(a2) - w2 * w1 * sin(a2) + 1.5 * GRAVITY * cos(a1 - PI / 2) + phi2;
  const dw2 = (torque + (d2 / d1) * phi1 - 0.5 * (w1 * w1) * sin(a2) - phi2) / (1.25 - (d2 * d2) / d1);
  return [w1, w2, -(d2 * dw2 + phi1) / d1, dw2];
}

const along = (state, by, k) => state.map((x, i) => x + by * k[i]);
const clip = (x, most) => Math.min(Math.max(x, -most), most);

function wrap(angle) {
  while (angle > PI) angle -= 2 * PI;
  while (angle < -PI) angle += 2 * PI;
  return angle;
}

function step(state, action) {
  const torque = action - 1, k1 = slope(state, torque), k2 = slope(along(state, DT / 2, k1), torque);
  const k3 = slope(along(state, DT / 2, k2), torque), k4 = slope(along(state, DT, k3), torque);
  const [a1, a2, w1, w2] = state.map((x, i) => x + (DT / 6) * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]));
  const next = [wrap(a1), wrap(a2), clip(w1, MAX_SPEED_1), clip(w2, MAX_SPEED_2)];
  const done = -cos(next[0]) - cos(next[1] + next[0]) > 1;
  return { state: next, reward: done ? 0 : -1, done };
}

function draw(paint, [a1, a2], action) {
  const { main, ink, muted, rule } = paint.colours;
  const elbow = [sin(a1), -cos(a1)], tip = [elbow[0] + sin(a1 + a2), elbow[1] - cos(a1 + a2)];
  paint.line([[paint.left, 1], [paint.right, 1]], rule, 0.035);
  paint.line([[0, 0], elbow], ink, 0.17);
  paint.line([elbow, tip], main, 0.17);
  paint.disc([0, 0], 0.11, muted);
  paint.disc(elbow, 0.11, muted);
  paint.disc(tip, 0.12, main);
  if (action !== null && action !== 1) paint.turn(elbow, 0.36, (action - 1) * 1.5, muted, 0.05);
}

export const acrobot = {
  id: "Acrobot-v1",
  limit: 500,
  rate: 15,
  start: (random) => Array.from({ length: 4 }, () => f32(random() * 0.2 - 0.1)),
  observe: ([a1, a2, w1, w2]) => [cos(a1), sin(a1), cos(a2), sin(a2), w1, w2],
  step,
  control: (held) => held + 1,
  angles: [0, 1],
  world: { left: -2.3, right: 2.3, bottom: -2.25, top: 2.25 },
  draw,
  goal: "Swing the tip above the line. Every step until then costs 1.",
  keys: "← → turn the joint between the links",
};
