export { main } from './cli/main.ts';
export { type ConfigInput, loadConfig, type Settings } from './config.ts';
export { createServer, type ServerOptions } from './http/server.ts';
