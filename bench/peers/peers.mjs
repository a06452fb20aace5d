// The sandboxes that are compared, by the name they get in the report.
import { readFileSync } from 'node:fs';
import isolatedVm from './adapters/isolated-vm.mjs';
import nodeVm from './adapters/node-vm.mjs';
import quickjs from './adapters/quickjs.mjs';
import vm2 from './adapters/vm2.mjs';

export const peers = {
  'node-vm': nodeVm,
  'isolated-vm': isolatedVm,
  'quickjs-emscripten': quickjs('@jitl/quickjs-wasmfile-release-sync', 'Bellard\'s QuickJS'),
  'quickjs-emscripten-ng': quickjs('@jitl/quickjs-ng-wasmfile-release-sync', 'QuickJS-ng, the same engine as Lode\'s'),
  vm2,
};

/** The installed version of a peer's package, or null when it is not installed. */
export function installedVersion(peer) {
  if (peer.package === null) return process.version;
  try {
    const file = new URL(`node_modules/${peer.package}/package.json`, import.meta.url);
    return JSON.parse(readFileSync(file, 'utf8')).version;
  } catch {
    return null;
  }
}
