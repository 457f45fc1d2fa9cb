import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const controlPlane = process.env.CONTROL_PLANE ?? "http://127.0.0.1:8082";

export default defineConfig({
  plugins: [react()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    target: "es2022",
    // The control plane's policy is `default-src 'self'`: no data: URLs, nothing inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { port: 5173, proxy: { "/api": { target: controlPlane, secure: false } } },
  test: {
    testTimeout: 20_000,
    // All files in one browser: making a fresh one for each took most of the time. setup.ts tidies up after every test;
    // a module that a test mocks must be loaded by that test's file alone.
    isolate: false,
    unstubGlobals: true,
    environment: "jsdom",
    setupFiles: ["src/testing/setup.ts"],
    include: ["src/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    css: false,
  },
});
