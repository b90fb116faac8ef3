// Questions to the server. It is asked again and again rather than left to push: an answer that has not changed costs an
// ETag, a hidden tab costs nothing, any number of tabs may be open, and a server that was restarted is found again.

const kept = new Map(); // address -> {tag, value}

export class ServerError extends Error {}

/** The JSON at an address; the same object as before where it has not changed. `key`: what replaces what. */
export async function get(address, key = address) {
  const last = kept.get(key);
  const headers = last && last.address === address ? { "If-None-Match": last.tag } : {};
  const response = await fetch(address, { headers, cache: "no-store", signal: AbortSignal.timeout(20000) });
  if (response.status === 304) return last.value;
  const value = await response.json().catch(() => ({ error: `${response.status} ${response.statusText}` }));
  if (!response.ok) throw new ServerError(value.error);
  kept.set(key, { address, tag: response.headers.get("ETag"), value });
  return value;
}

/** The curves of runs, kept run by run: of those that have not changed the server sends nothing. */
export class Curves {
  #runs = new Map(); // id -> {tag, curves}

  async ask(key, ids, metrics, view) {
    const query = new URLSearchParams({ axis: view.axis, width: view.width, window: view.window });
    if (view.seeds === "each") query.set("seeds", "1");
    if (view.zoom) {
      query.set("begin", view.zoom[0]);
      query.set("end", view.zoom[1]);
    }
    for (const metric of metrics) query.append("metric", metric);
    for (const id of ids) query.append("run", `${id}.${this.#runs.get(id)?.tag ?? ""}`);
    const answer = await get(`/api/curves?${query}`, key);
    const runs = new Map();
    for (const id of ids) {
      const part = answer.runs[id];
      if (!part) continue;
      runs.set(id, part.curves ? part : { tag: part.tag, curves: this.#runs.get(id)?.curves ?? {} });
    }
    this.#runs = runs;
    return { step: answer.step, complete: answer.complete, runs };
  }
}
