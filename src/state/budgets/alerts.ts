// Judges how money is being spent: rules in, numbers in, what an operator should be told out. No clock, no state.

/** Money and requests of one stretch of time. Integer nano-USD. */
export interface Spending {
  readonly nano: number
  readonly requests: number
}

/** What rules are judged by; see `createSpendMeter`. */
export interface SpendView {
  /** The last 60 minutes and the last 24 hours. */
  readonly hour: Spending
  readonly day: Spending
  /** The same 60 minutes a day earlier. */
  readonly hourYesterday: Spending
  /** Of the last 60 minutes, by target and by route. */
  readonly targets: ReadonlyMap<string, Spending>
  readonly routes: ReadonlyMap<string, Spending>
}

export type AlertRule =
  /** More than `nano` in the last hour or day. */
  | { readonly kind: 'spend'; readonly per: 'hour' | 'day'; readonly nano: number }
  /** More than `nano` a request on average of the last hour, of at least `requests`. */
  | { readonly kind: 'average'; readonly nano: number; readonly requests: number }
  /** More than `percent` of the last hour's money went to this target or route, of at least `nano` in all. */
  | {
      readonly kind: 'share'
      readonly of: 'target' | 'route'
      readonly name: string
      readonly percent: number
      readonly nano: number
    }
  /** More than `times` what the same hour cost yesterday, and at least `nano`. A yesterday without spending is no measure. */
  | { readonly kind: 'spike'; readonly times: number; readonly nano: number }

/** A rule that holds: what was seen, and what it was measured against. Nano-USD, but percent for shares. */
export interface Alert {
  readonly rule: AlertRule
  readonly seen: number
  readonly against: number
}

export function evaluateAlerts(rules: readonly AlertRule[], view: SpendView): Alert[] {
  return rules.flatMap((rule) => judge(rule, view) ?? [])
}

function judge(rule: AlertRule, view: SpendView): Alert | undefined {
  switch (rule.kind) {
    case 'spend':
      return above(rule, view[rule.per].nano, rule.nano)
    case 'average':
      if (view.hour.requests < Math.max(1, rule.requests)) return undefined
      return above(rule, view.hour.nano / view.hour.requests, rule.nano)
    case 'share': {
      if (view.hour.nano === 0 || view.hour.nano < rule.nano) return undefined
      const part = (rule.of === 'target' ? view.targets : view.routes).get(rule.name)
      return above(rule, ((part?.nano ?? 0) / view.hour.nano) * 100, rule.percent)
    }
    case 'spike':
      if (view.hourYesterday.nano === 0 || view.hour.nano < rule.nano) return undefined
      return above(rule, view.hour.nano, view.hourYesterday.nano * rule.times)
  }
}

const above = (rule: AlertRule, seen: number, against: number): Alert | undefined =>
  seen > against ? { rule, seen, against } : undefined
