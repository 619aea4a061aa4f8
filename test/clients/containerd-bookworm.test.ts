import { testContainerd } from "./containerd-cases.ts";

testContainerd("containerd of bookworm");
