// What others may use of the simulator.
export { builtins } from './builtins.ts'
export type { Call, Outcome, Totals } from './call.ts'
export { type Fault, type FaultKind, faultKinds, parseScripts, type Script, ScriptError } from './script.ts'
export { type Simulator, type SimulatorOptions, startSimulator } from './server.ts'
