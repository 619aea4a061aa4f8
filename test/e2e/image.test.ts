import { spawnSync } from "node:child_process";
import { cpSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dist, root } from "../../scripts/lib/paths.ts";
import { hasProgram } from "../../scripts/lib/run.ts";
import { Buildah } from "../support/buildah.ts";

const missing = ["buildah", "apt-get"].filter((program) => !hasProgram(program));
const title = `the image${missing.length > 0 ? ` (needs ${missing.join(" and ")})` : ""}`;

describe.skipIf(missing.length > 0)(title, () => {
  const image = "localhost/podlink";
  let buildah: Buildah;
  let host: string;

  beforeAll(async () => {
    buildah = new Buildah();
    host = mkdtempSync(join(tmpdir(), "podlink-host-"));
    await buildah.buildBase("localhost/base");
    const context = join(host, "context");
    for (const name of ["Dockerfile", "dist/cni"]) {
      cpSync(name === "Dockerfile" ? join(root, name) : join(dist, "cni"), join(context, name), {
        recursive: true,
        verbatimSymlinks: true,
      });
    }
    buildah.build(context, { tag: image, args: { BASE: "localhost/base", BUILT: "prebuilt" } });
  });
  afterAll(() => {
    buildah[Symbol.dispose]();
    rmSync(host, { recursive: true });
  });

  /** Runs the image as a node does, with the node's bin directory mounted. */
  function install(bin: string, mode = "rw") {
    return buildah.run(image, { command: buildah.entrypoint(image), mounts: [`${bin}:/host/opt/cni/bin:${mode}`] });
  }

  it("installs a bin directory that works, beside what is there and is not ours", () => {
    const bin = join(host, "bin");
    mkdirSync(bin);
    writeFileSync(join(bin, "cilium-cni"), "somebody else's");
    expect(install(bin)).toMatchObject({ status: 0 });
    expect(readdirSync(bin)).toEqual(expect.arrayContaining(readdirSync(join(dist, "cni"))));
    expect(readFileSync(join(bin, "cilium-cni"), "utf8")).toBe("somebody else's");
    expect(lstatSync(join(bin, "bridge")).isSymbolicLink()).toBe(true);
    const call = { input: '{"cniVersion":"1.1.0"}', encoding: "utf8", env: { CNI_COMMAND: "VERSION" } } as const;
    const { status, stderr } = spawnSync(join(bin, "bridge"), [], call);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(install(bin)).toMatchObject({ status: 0 });
  });

  it("says so when the host's directory is read-only, and changes nothing", () => {
    const bin = join(host, "read-only");
    mkdirSync(bin);
    const { status, stderr } = install(bin, "ro");
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/\/host\/opt\/cni\/bin.*read-only/is);
    expect(readdirSync(bin)).toEqual([]);
  });
});
