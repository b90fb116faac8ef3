// The environments that have a canvas, by their ids.

import { acrobot } from "./acrobot.js";
import { cartpole } from "./cartpole.js";
import { mountainCar, mountainCarContinuous } from "./mountain_car.js";
import { pendulum } from "./pendulum.js";

export const ENVIRONMENTS = Object.fromEntries([cartpole, pendulum, mountainCar, mountainCarContinuous, acrobot].map((env) => [env.id, env]));
