// What the page takes from elsewhere is what it says it is.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { runInThisContext } from "node:vm";

const HERE = new URL("../../../../examples/chat/web/vendor/", import.meta.url);
const PACKAGE = new URL("../../../../js/node_modules/@msgpack/msgpack/", import.meta.url);
const version = () => JSON.parse(readFileSync(new URL("package.json", PACKAGE))).version;
const named = /version (\d+\.\d+\.\d+),/.exec(readFileSync(new URL("README.md", HERE), "utf8"))[1];

test("msgpack.min.js and its licence are those of the package, byte by byte", (t) => {
  if (!existsSync(PACKAGE)) t.skip("the package is not here");
  else if (version() !== named) t.skip(`the package here is ${version()}, not ${named}`);
  else {
    for (const [ours, theirs] of [["msgpack.min.js", "dist.umd/msgpack.min.js"], ["msgpack.LICENSE", "LICENSE"]]) {
      assert.ok(readFileSync(new URL(ours, HERE)).equals(readFileSync(new URL(theirs, PACKAGE))), ours);
    }
  }
});

test("msgpack.js gives what framerpc.js imports", async () => {
  const script = readFileSync(new URL("msgpack.min.js", HERE), "utf8");
  runInThisContext(`(function (exports, module, define) {${script}\n}).call(globalThis)`); // as in a page
  const { Encoder, ExtensionCodec } = await import(new URL("msgpack.js", HERE));
  assert.deepEqual([...new Encoder({ extensionCodec: new ExtensionCodec() }).encode([1, "a"])], [0x92, 1, 0xa1, 0x61]);
});
