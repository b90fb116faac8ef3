// A canvas in the units of an environment, y upwards, in the colours of the theme.

const NAMES = ["main", "ink", "muted", "rule", "soft"];
const FRAMES = 30; // for which colours are used again

export class Painter {
  #canvas; #context; #world; #probe; #frames = 0;

  constructor(canvas, world, probe) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.#world = world;
    this.#probe = probe; // an element in the page whose colours are asked for
  }

  /** Clear, and make the world fit: `left`, `right`, `bottom` and `top` are what the canvas shows of it. */
  begin() {
    const { left, right, bottom, top } = this.#world, canvas = this.#canvas, dense = globalThis.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(canvas.clientWidth * dense)), height = Math.max(1, Math.round(canvas.clientHeight * dense));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    if (this.#frames++ % FRAMES === 0) this.colours = this.#ask();
    const scale = Math.min(width / (right - left), height / (top - bottom));
    const middle = (left + right) / 2, centre = (bottom + top) / 2;
    Object.assign(this, { left: middle - width / 2 / scale, right: middle + width / 2 / scale, bottom: centre - height / 2 / scale, top: centre + height / 2 / scale });
    this.#context.setTransform(1, 0, 0, 1, 0, 0);
    this.#context.clearRect(0, 0, width, height);
    this.#context.setTransform(scale, 0, 0, -scale, -this.left * scale, this.top * scale);
    this.#context.lineCap = this.#context.lineJoin = "round";
  }

  /** A canvas does not know the page's variables: an element tells what they are. */
  #ask() {
    const colour = (name) => {
      this.#probe.style.color = `var(--play-${name})`;
      return getComputedStyle(this.#probe).color;
    };
    return Object.fromEntries(NAMES.map((name) => [name, colour(name)]));
  }

  #trace(points) {
    this.#context.beginPath();
    points.forEach(([x, y], i) => (i ? this.#context.lineTo(x, y) : this.#context.moveTo(x, y)));
  }

  #stroke(colour, width) {
    Object.assign(this.#context, { strokeStyle: colour, lineWidth: width });
    this.#context.stroke();
  }

  #fill(colour) {
    this.#context.fillStyle = colour;
    this.#context.fill();
  }

  line(points, colour, width) {
    this.#trace(points);
    this.#stroke(colour, width);
  }

  area(points, colour) {
    this.#trace(points);
    this.#context.closePath();
    this.#fill(colour);
  }

  disc([x, y], radius, colour) {
    this.#context.beginPath();
    this.#context.arc(x, y, radius, 0, 2 * Math.PI);
    this.#fill(colour);
  }

  ring([x, y], radius, colour, width) {
    this.#context.beginPath();
    this.#context.arc(x, y, radius, 0, 2 * Math.PI);
    this.#stroke(colour, width);
  }

  box([x, y], [width, height], radius, colour) {
    this.#context.beginPath();
    this.#context.roundRect(x, y, width, height, radius);
    this.#fill(colour);
  }

  arrow([x0, y0], [x1, y1], colour, width) {
    const angle = Math.atan2(y1 - y0, x1 - x0), size = 3 * width;
    const barb = (turn) => [x1 - size * Math.cos(angle + turn), y1 - size * Math.sin(angle + turn)];
    this.line([[x0, y0], [x1, y1]], colour, width);
    this.line([barb(0.7), [x1, y1], barb(-0.7)], colour, width);
  }

  /** A bent arrow around a point, from the top: positive is counterclockwise. */
  turn([x, y], radius, angle, colour, width) {
    const at = (a) => [x + radius * Math.cos(Math.PI / 2 + a), y + radius * Math.sin(Math.PI / 2 + a)];
    this.line(Array.from({ length: 25 }, (_, i) => at((angle * i) / 24)), colour, width);
    this.arrow(at(angle - Math.sign(angle) * 0.02), at(angle), colour, width);
  }
}
