/** Sorts before what container runtimes bring along (`87-podman…`), and after `05-…` of somebody who means it. */
export const defaultConflistName = "10-podlink.conflist";

/** The network that `podlink install --conf-dir` sets up; `conf/` has the same file. */
export const defaultConflist = `{
  "cniVersion": "1.0.0",
  "cniVersions": ["1.0.0", "1.1.0"],
  "name": "podlink",
  "plugins": [
    {
      "type": "podlink",
      "bridge": "podlink0",
      "capabilities": { "portMappings": true, "bandwidth": true, "ips": true, "mac": true, "dns": true },
      "ipam": {
        "type": "host-local",
        "ranges": [[{ "subnet": "10.93.0.0/16" }]]
      }
    }
  ]
}
`;
