// What this page may order of the run that serves it: only `make run` allows anything, and only on its own machine.

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

let offered;

/** `demo`: this is `make run`, with its open registration. `gateways`: `[{name, up}]`, where they may be killed from here. */
export const offers = () => (offered ??= ask());

async function ask() {
  const demo = await takesPasswords();
  return { demo, gateways: demo ? await gateways() : [] };
}

export async function gateways() {
  if (!LOOPBACK.has(location.hostname)) return [];
  try {
    const response = await fetch("/demo/gateways");
    return response.status === 200 ? await response.json() : [];
  } catch {
    return [];
  }
}

/** Order something; why not, or nothing where it is done. */
export async function order(path) {
  try {
    const response = await fetch(`/demo/${path}`, { method: "POST" });
    return response.ok ? "" : ((await response.json()).detail ?? `the server answered ${response.status}`);
  } catch {
    return "the server does not answer";
  }
}

export const kill = (gateway) => order(`gateways/${encodeURIComponent(gateway)}/kill`);

/** Only `make run`, which has a demo client, takes passwords without being told to. */
async function takesPasswords() {
  try {
    const response = await fetch("/.well-known/oauth-authorization-server");
    const { grant_types_supported: grants } = await response.json();
    return grants.includes("password");
  } catch {
    return false;
  }
}
