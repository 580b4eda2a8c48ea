// Run before each file of tests: budgets, sums and reports begin anew at midnight, months with it. None begins in the last minutes before.
import { clearOf, day } from './calendar.ts'

await clearOf(day, 300_000)
