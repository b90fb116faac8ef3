// An exported ONNX file, run by onnxruntime-web: one thread, the wasm from this server.

let library = null;

async function load() {
  const ort = await import("../ort.wasm.min.mjs");
  const packed = await fetch("/static/ort-wasm-simd-threaded.wasm.gz");
  const wasm = packed.body.pipeThrough(new DecompressionStream("gzip"));
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await new Response(wasm).arrayBuffer();
  return ort;
}

/** `act(obs)`: a promise of the action as a list of numbers; `reset()`: the next observation opens an episode. */
export async function openSession(file) {
  const ort = await (library ??= load()), bytes = Uint8Array.from(atob(file), (character) => character.charCodeAt(0));
  const session = await ort.InferenceSession.create(bytes);
  const memory = session.inputNames.filter((name) => name.startsWith("carry_in."));
  let first = true, carry = {};
  const act = async (obs) => {
    const feeds = { obs: new ort.Tensor("float32", Float32Array.from(obs), [1, obs.length]) };
    if (memory.length) {
      feeds.first = new ort.Tensor("bool", [first], [1]);
      for (const name of memory) feeds[name] = carry[name] ?? empty(ort, session, name);
    }
    first = false;
    const outputs = await session.run(feeds);
    carry = Object.fromEntries(memory.map((name) => [name, outputs[name.replace("_in", "_out")]]));
    return Array.from(outputs.action.data, Number);
  };
  const reset = () => { first = true; carry = {}; };
  return { act, reset };
}

/** A memory of zeros, of the shape that the file names. */
function empty(ort, session, name) {
  const { shape } = session.inputMetadata.find((input) => input.name === name), width = shape.slice(1);
  return new ort.Tensor("float32", new Float32Array(width.reduce((a, b) => a * b, 1)), [1, ...width]);
}
