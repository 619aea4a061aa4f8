import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { output } from "../node.ts";
import { runtimeDirectory } from "./packages.ts";

const applets = ["sh", "sleep", "ping", "httpd", "wget", "ip", "cat"];

/**
 * Writes an image of one layer that holds busybox and nothing else, as a tar archive that every runtime loads: an OCI image layout
 * with the index of `docker save` beside it. Nobody else's image is needed, and no network.
 * @param options.names under which the image is known, each with a tag; `command`: what it runs when nothing is asked for
 */
export function writeImage(file: string, { names, command }: { names: readonly string[]; command: readonly string[] }): void {
  const work = mkdtempSync(join(tmpdir(), "podlink-image-"));
  const blobs = join(work, "image/blobs/sha256");
  try {
    mkdirSync(blobs, { recursive: true });
    const store = (content: Uint8Array | string) => {
      const digest = createHash("sha256").update(content).digest("hex");
      writeFileSync(join(blobs, digest), content);
      return { digest: `sha256:${digest}`, size: Buffer.byteLength(content) };
    };
    const layer = store(layerOf(work));
    const config = store(
      JSON.stringify({
        architecture: goName(process.arch),
        os: "linux",
        config: { Cmd: command, Env: ["PATH=/bin"] },
        rootfs: { type: "layers", diff_ids: [layer.digest] },
      }),
    );
    const type = (name: string) => ({ mediaType: `application/vnd.oci.image.${name}` });
    const manifest = store(
      JSON.stringify({
        schemaVersion: 2,
        ...type("manifest.v1+json"),
        config: { ...type("config.v1+json"), ...config },
        layers: [{ ...type("layer.v1.tar"), ...layer }],
      }),
    );
    const manifests = names.map((name) => ({
      ...type("manifest.v1+json"),
      ...manifest,
      platform: { architecture: goName(process.arch), os: "linux" },
      annotations: { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name },
    }));
    const path = ({ digest }: { digest: string }) => `blobs/${digest.replace(":", "/")}`;
    const documents = {
      "oci-layout": { imageLayoutVersion: "1.0.0" },
      "index.json": { schemaVersion: 2, manifests },
      "manifest.json": [{ Config: path(config), RepoTags: names, Layers: [path(layer)] }],
    };
    for (const [name, document] of Object.entries(documents)) writeFileSync(join(work, "image", name), JSON.stringify(document));
    output("tar", "-C", join(work, "image"), "-cf", join(work, "image.tar"), ...Object.keys(documents), "blobs");
    copyFileSync(join(work, "image.tar"), file);
  } finally {
    rmSync(work, { recursive: true });
  }
}

function layerOf(work: string): Buffer {
  const root = join(work, "root");
  for (const directory of ["bin", "tmp", "etc", "proc", "sys", "dev", "run"])
    mkdirSync(join(root, directory), { recursive: true });
  copyFileSync(join(runtimeDirectory("busybox"), "bin/busybox"), join(root, "bin/busybox"));
  chmodSync(join(root, "bin/busybox"), 0o755);
  for (const applet of applets) symlinkSync("busybox", join(root, "bin", applet));
  const file = join(work, "layer.tar");
  output("tar", "-C", root, "--owner=0", "--group=0", "--numeric-owner", "-cf", file, ".");
  return readFileSync(file);
}

/** How Go, and so every runtime, calls a processor. */
function goName(arch: string): string {
  return arch === "x64" ? "amd64" : arch;
}
