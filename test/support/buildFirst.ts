// Run once, before all files of tests: what the first of them to start a process or a thread would wait for, in the middle of a test.
import { buildTurnout } from './crash/build.ts'

export const setup = (): void => void buildTurnout()
