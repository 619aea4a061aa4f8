import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { moduleFiles } from "../../../scripts/lib/kernels/kernel.ts";
import { selectionOf, usualSelection } from "../../../scripts/lib/kernels/needing.ts";
import { dependencies } from "../../../scripts/lib/kernels/packages.ts";
import { sample } from "../../../scripts/lib/kernels/sample.ts";
import { testOn } from "../../../scripts/lib/kernels/test-on.ts";
import { root } from "../../../scripts/lib/paths.ts";

describe("tests for another kernel", () => {
  const skipped = [
    "test/kernel/vlan.test.ts: vlan (needs CONFIG_VLAN_8021Q) has a tag",
    "test/kernel/conformance.test.ts: vlan (needs CONFIG_VLAN_8021Q) in version 1.1.0 ADD",
    "test/kernel/conformance.test.ts: dummy (needs CONFIG_DUMMY) in version 0.4.0 ADD",
    "test/kernel/vrf.test.ts: vrf (needs a kernel without CONFIG_NET_VRF)",
    "test/e2e/conflists.test.ts: ipvlan (needs CONFIG_IPVLAN)",
    "test/kernel/some.test.ts: runs (needs the package strace)",
  ];

  it("are of the types themselves, in the newest version, and need what this kernel lacks", () => {
    const { files, only } = usualSelection(skipped);
    expect(files).toEqual(["test/kernel/conformance.test.ts", "test/kernel/vlan.test.ts"]);
    const chosen = [
      "vlan (needs CONFIG_VLAN_8021Q) has a tag",
      "chain (needs CONFIG_DUMMY, CONFIG_VLAN_8021Q)",
      "vlan (needs CONFIG_VLAN_8021Q) in version 1.1.0 ADD",
    ];
    const others = [
      "dummy (needs CONFIG_DUMMY)",
      "tap (needs CONFIG_TUN)",
      "vlan (needs a kernel without CONFIG_VLAN_8021Q)",
      "vlan (needs CONFIG_VLAN_8021Q) in version 1.0.0 ADD",
    ];
    expect([...chosen, ...others].filter((name) => only?.test(name))).toEqual(chosen);
  });

  it("are none where nothing was skipped for the kernel's sake", () => {
    expect(usualSelection(skipped.slice(4)).files).toEqual([]);
  });

  it("are found in all files that ask for kernel features, also by way of others", () => {
    const { files, only } = selectionOf([" (needs CONFIG_NET_VRF)"]);
    expect(files).toEqual(expect.arrayContaining(["test/kernel/vrf.test.ts", "test/kernel/bridge-vlan.test.ts"]));
    expect(files).not.toContain("test/unit/scripts/kernels.test.ts");
    expect(only?.test("vrf (needs CONFIG_NET_VRF) in version 0.1.0")).toBe(true);
    expect(only?.test("dummy (needs CONFIG_DUMMY)")).toBe(false);
  });
});

describe("what every kernel can do", () => {
  it("is tried on others by a few tests of files that there are", () => {
    for (const file of sample.files) expect(existsSync(join(root, file)), file).toBe(true);
    const chosen = ["bridge > ADD killed at each change", "type podlink > a DEL that waits for a lock does not end by SIGTERM"];
    const others = ["tap (needs CONFIG_TUN) > ADD killed at each change", "the DHCP daemon is no larger after 200 leases"];
    expect([...chosen, ...others].filter((name) => sample.only?.test(name))).toEqual(chosen);
  });
});

describe("a virtual machine", () => {
  it("is left out by name and reason where qemu is missing", async () => {
    vi.stubEnv("PATH", "/nonexistent");
    onTestFinished(() => void vi.unstubAllEnvs());
    vi.spyOn(console, "log").mockReturnValue();
    const { passed, failed, skipped } = await testOn("stable", { files: ["some.test.ts"], limitMinutes: 1 });
    expect({ passed, failed }).toEqual({ passed: 0, failed: 0 });
    expect(skipped).toEqual([
      expect.stringMatching(/^tests on Debian's stable kernel \((root is needed|not installed: .*qemu-system-.*)\)$/),
    ]);
  });

  it("is not booted for no test", async () => {
    expect(await testOn("stable", { files: [], limitMinutes: 1 })).toMatchObject({ passed: 0, failed: 0, skipped: [] });
  });
});

describe("a kernel's packages", () => {
  it("are the parts it depends on, and no tools", () => {
    const image = "Package: linux-image-6.1.0-56-cloud-amd64\nDepends: kmod, linux-base (>= 4.3~), initramfs-tools | x";
    const split = [
      "Package: linux-image-7.2.2-cloud-amd64",
      "Pre-Depends: linux-base-7.2.2 (= 7.2.2-1)",
      "Depends: kmod, linux-binary-7.2.2-cloud-amd64 (= 7.2.2-1), linux-modules-7.2.2-cloud-amd64:amd64 | other",
    ].join("\n");
    expect(dependencies(image)).toEqual([]);
    expect(dependencies(split)).toEqual([
      "linux-base-7.2.2",
      "linux-binary-7.2.2-cloud-amd64",
      "linux-modules-7.2.2-cloud-amd64",
    ]);
  });

  it("have modules, which are loaded after those they need, each once", () => {
    const root = mkdtempSync(join(tmpdir(), "podlink-test-"));
    onTestFinished(() => rmSync(root, { recursive: true }));
    const directory = join(root, "lib/modules/6.1.0");
    mkdirSync(directory, { recursive: true });
    const lines = [
      "kernel/fs/fuse/virtiofs.ko.xz: kernel/fs/fuse/fuse.ko.xz kernel/virtio/virtio.ko.xz kernel/virtio/virtio_ring.ko.xz",
      "kernel/virtio/virtio-pci.ko.xz: kernel/virtio/virtio.ko.xz kernel/virtio/virtio_ring.ko.xz",
      "kernel/virtio/virtio_ring.ko.xz:",
    ];
    writeFileSync(join(directory, "modules.dep"), `${lines.join("\n")}\n`);
    const files = moduleFiles({ choice: "stable", release: "6.1.0", image: "", root }, ["virtio_pci", "virtiofs", "builtin"]);
    expect(files.map((path) => path.replace(/.*\//, ""))).toEqual([
      "virtio_ring.ko.xz",
      "virtio.ko.xz",
      "virtio-pci.ko.xz",
      "fuse.ko.xz",
      "virtiofs.ko.xz",
    ]);
  });
});
