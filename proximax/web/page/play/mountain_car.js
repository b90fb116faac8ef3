// MountainCar-v0 and MountainCarContinuous-v0 as Gymnasium steps them: state [position, velocity]. The second one keeps
// its state in float32, which every step rounds to.

const LEFT = -1.2, RIGHT = 0.6, MAX_SPEED = 0.07;
const f32 = Math.fround;
const clip = (x, least, most) => Math.min(Math.max(x, least), most);
const height = (x) => 0.45 * Math.sin(3 * x) + 0.55;
const start = (random) => [f32(-0.6 + 0.2 * random()), 0];

function step([position, velocity], action) {
  let speed = velocity + ((action - 1) * 0.001 + Math.cos(3 * position) * -0.0025);
  speed = clip(speed, -MAX_SPEED, MAX_SPEED);
  const place = clip(position + speed, LEFT, RIGHT);
  if (place === LEFT && speed < 0) speed = 0;
  return { state: [place, speed], reward: -1, done: place >= 0.5 && speed >= 0 };
}

function stepContinuous([position, velocity], action) {
  const force = clip(f32(action), -1, 1), slope = 0.0025 * Math.cos(f32(3 * position));
  // A force that was clipped is a Python float, and the sum is rounded once; otherwise each term is a float32.
  const push = Math.abs(f32(action)) > 1 ? f32(force * 0.0015 - slope) : f32(f32(force * f32(0.0015)) - f32(slope));
  let speed = clip(f32(velocity + push), -f32(MAX_SPEED), f32(MAX_SPEED));
  const place = clip(f32(position + speed), f32(LEFT), f32(RIGHT));
  if (place === f32(LEFT) && speed < 0) speed = 0;
  const done = place >= f32(0.45) && speed >= 0;
  return { state: [place, speed], reward: (done ? 100 : 0) - f32(action) * f32(action) * 0.1, done };
}

function draw(paint, position, push, flag) {
  const { main, ink, muted, rule, soft } = paint.colours;
  const hill = Array.from({ length: 121 }, (_, i) => paint.left + ((paint.right - paint.left) * i) / 120).map((x) => [x, height(x)]);
  paint.area([...hill, [paint.right, paint.bottom], [paint.left, paint.bottom]], soft);
  paint.line(hill, rule, 0.012);
  const base = height(flag);
  paint.line([[flag, base], [flag, base + 0.2]], muted, 0.01);
  paint.area([[flag, base + 0.2], [flag + 0.11, base + 0.165], [flag, base + 0.13]], main);
  const slope = Math.atan(1.35 * Math.cos(3 * position)), cos = Math.cos(slope), sin = Math.sin(slope);
  const at = ([x, y]) => [position + x * cos - y * sin, height(position) + x * sin + y * cos];
  for (const wheel of [-0.045, 0.045]) paint.disc(at([wheel, 0.024]), 0.024, ink);
  paint.area([[-0.085, 0.03], [0.085, 0.03], [0.085, 0.062], [0.04, 0.068], [0.02, 0.1], [-0.045, 0.1], [-0.06, 0.068], [-0.085, 0.062]].map(at), main);
  const way = Math.sign(push), reach = 0.05 + 0.07 * Math.abs(push);
  if (Math.abs(push) > 0.03) paint.arrow(at([0.1 * way, 0.05]), at([(0.1 + reach) * way, 0.05]), muted, 0.012);
}

const common = { rate: 30, start, observe: (state) => state, world: { left: -1.22, right: 0.62, bottom: -0.02, top: 1.2 } };

export const mountainCar = {
  ...common,
  id: "MountainCar-v0",
  limit: 200,
  step,
  control: (held) => held + 1,
  draw: (paint, [position], action) => draw(paint, position, action === null ? 0 : action - 1, 0.5),
  goal: "Reach the flag: the engine is too weak to climb at once. Every step costs 1.",
  keys: "← → drive",
};

export const mountainCarContinuous = {
  ...common,
  id: "MountainCarContinuous-v0",
  limit: 999,
  step: stepContinuous,
  control: (held) => held,
  draw: (paint, [position], action) => draw(paint, position, action === null ? 0 : clip(action, -1, 1), 0.45),
  goal: "Reach the flag for 100, with little fuel: every step costs 0.1 times the square of the force.",
  keys: "← → drive",
};
